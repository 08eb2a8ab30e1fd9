"""Names as people and other systems write them: numbers in order, one spelling of accents, what is no data."""

import unicodedata

from harness.api.file_names import find_alike, is_left_behind, natural_key


def test_numbers_count_as_numbers_and_padded_names_stay_as_they_are():
    assert sorted(["10", "9", "b2", "b10", "a"], key=natural_key) == ["9", "10", "a", "b2", "b10"]
    padded = [f"v{v}_{t:05d}.jpg" for v in (1, 2) for t in (0, 1, 9, 10, 99, 100)]
    assert sorted(padded, key=natural_key) == sorted(padded)
    assert sorted(["1", "01"], key=natural_key) == ["01", "1"]  # one number twice: still one order


def test_what_windows_macos_and_a_nas_leave_is_no_data():
    left = ["._a.png", ".DS_Store", "__MACOSX", "THUMBS.DB", "desktop.ini", "a.jpg:Zone.Identifier", "@eaDir", "Icon\r"]
    assert [name for name in left if not is_left_behind(name)] == []
    assert not any(map(is_left_behind, ["00000.png", "macosx", "thumbs", "icon"]))


def test_a_name_of_another_case_or_spelling_is_found_and_the_exact_one_first(tmp_path):
    decomposed = unicodedata.normalize("NFD", "café")
    (tmp_path / decomposed).mkdir()
    assert find_alike(tmp_path, "café") == tmp_path / decomposed
    (tmp_path / "00000.PNG").touch()
    assert find_alike(tmp_path, "00000.png").name == "00000.PNG"
    (tmp_path / "00000.png").touch()
    assert find_alike(tmp_path, "00000.png").name == "00000.png"
    assert find_alike(tmp_path, "00001.png").name == "00001.png"
    assert find_alike(tmp_path / "gone", "a").name == "a"


def test_of_two_names_that_are_alike_neither_is_taken(tmp_path):
    (tmp_path / "Bear").mkdir()
    (tmp_path / "BEAR").mkdir()
    assert find_alike(tmp_path, "bear") == tmp_path / "bear"
