"""The loops behind the compiled counts: runs of one slot, joint histogram, boundaries as bits, their dilation.

From the runs of both label maps follow the joint label histogram and the pixels of every object, kept as one bit each.
Its boundary, how that grows by the disk, and what of the other boundary lies inside are found 64 pixels at a time,
within boxes. Background costs next to nothing.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from harness.api.machine_code import Loops, as_array
from harness.metrics.j_and_f.pair_counts import (
    INTERSECTION,
    PREDICTED,
    PREDICTED_NEAR_TRUE,
    TRUE,
    TRUE_NEAR_PREDICTED,
    UNION,
)

LOOPS = Loops(__file__)
MAX_RADIUS = 63
"""A word of 64 pixels grows into its two neighbours only; beyond (diagonals above 7875) the plain form is used."""

_NOTHING = np.uint64(0)
_EVERY_BYTE = np.uint64(0x0101010101010101)
_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_TOP_BIT = np.uint64(1 << 63)
_TOP, _BOTTOM, _LEFT, _RIGHT = range(4)
"""The box of words outside which a map is empty: first and last row, first and last word; bottom < top: all empty."""


@LOOPS.entry("i4*, u1*, i8, u1*, i4*, u1*, i8, u1*, i8, i8, i8, i8, i8, u8*, i8*, i8*, i8, i8*, i8*, i8* -> i8")
@no_type_check
def count_frame(
    starts,
    values,
    runs,
    slots,
    true_starts,
    true_values,
    true_runs,
    true_slots,
    height,
    width,
    proposals,
    objects,
    crossed,
    maps,
    boxes,
    half_widths,
    radius,
    joint,
    lengths,
    counts,
):
    """Write one row of ``counts`` a pair; in ``maps`` and ``boxes`` the slots of the truth follow the prediction's.

    ``maps`` holds the pixels, the boundaries, then the grown ones; so does ``boxes``. ``joint`` is room for the joint
    histogram (its last row and column are sums), ``lengths`` for those of the boundaries.
    """
    both, words = proposals + objects, (width + 63) // 64
    starts, values, slots = as_array(starts, (runs + 1,)), as_array(values, (runs,)), as_array(slots, (256,))
    true_starts, true_values = as_array(true_starts, (true_runs + 1,)), as_array(true_values, (true_runs,))
    true_slots = as_array(true_slots, (256,))
    maps = as_array(maps, (3, both, height, words))
    boxes = as_array(boxes, (3, both, 4))
    half_widths = as_array(half_widths, (radius + 1,))
    joint = as_array(joint, (proposals + 2, objects + 2))
    lengths = as_array(lengths, (both,))
    counts = as_array(counts, (proposals * objects if crossed else objects, 6))
    pixels, pixel_boxes = maps[0], boxes[0]
    _mark_pixels(starts, values, slots, width, pixels[:proposals], pixel_boxes[:proposals])
    _mark_pixels(true_starts, true_values, true_slots, width, pixels[proposals:], pixel_boxes[proposals:])
    _fill_joint(starts, values, slots, true_starts, true_values, true_slots, joint)
    for slot in range(both):
        lengths[slot] = _mark_boundary(pixels[slot], pixel_boxes[slot], width, maps[1, slot], boxes[1, slot])
    _fill_counts(joint, maps[1], boxes[1], maps[2], boxes[2], half_widths, crossed, lengths, counts)
    return 0


@LOOPS.inner
@no_type_check
def _fill_joint(starts, values, slots, other_starts, other_values, other_slots, joint):
    """Count the pixels of each pair of slots, and their sums behind them."""
    joint[:, :] = 0
    size = starts[values.size]
    i = j = at = 0
    while at < size:
        end = min(starts[i + 1], other_starts[j + 1])
        joint[slots[values[i]], other_slots[other_values[j]]] += end - at
        i += starts[i + 1] == end
        j += other_starts[j + 1] == end
        at = end
    rows, columns = joint.shape[0] - 1, joint.shape[1] - 1
    for row in range(rows):
        for column in range(columns):
            joint[row, columns] += joint[row, column]
            joint[rows, column] += joint[row, column]


@LOOPS.inner
@no_type_check
def _clear(bits, box):
    """Empty a map inside its box, and the box."""
    for y in range(box[_TOP], box[_BOTTOM] + 1):
        for word in range(box[_LEFT], box[_RIGHT] + 1):
            bits[y, word] = _NOTHING
    box[_TOP], box[_BOTTOM], box[_LEFT], box[_RIGHT] = bits.shape[0], -1, bits.shape[1], -1


@LOOPS.inner
@no_type_check
def _mark_pixels(starts, values, slots, width, pixels, boxes):
    """Set the bits of every slot but 0, the background; a row's last pixel is repeated to the end of its last word."""
    for slot in range(pixels.shape[0]):
        _clear(pixels[slot], boxes[slot])
    for run in range(values.size):
        at, end, slot = np.int64(starts[run]), np.int64(starts[run + 1]), np.int64(slots[values[run]]) - 1
        if slot < 0:
            continue
        y = at // width
        while at < end:
            first, after = at - y * width, end - y * width
            last = after - 1 if after < width else (pixels.shape[2] << 6) - 1
            left, right = first >> 6, last >> 6
            head, tail = _ONES << np.uint64(first & 63), _ONES >> np.uint64(63 - (last & 63))
            if left == right:
                pixels[slot, y, left] |= head & tail
            else:
                pixels[slot, y, left] |= head
                for word in range(left + 1, right):
                    pixels[slot, y, word] = _ONES
                pixels[slot, y, right] |= tail
            boxes[slot, _TOP] = min(boxes[slot, _TOP], y)
            boxes[slot, _BOTTOM] = y
            boxes[slot, _LEFT] = min(boxes[slot, _LEFT], left)
            boxes[slot, _RIGHT] = max(boxes[slot, _RIGHT], right)
            y += 1
            at = y * width


@LOOPS.inner
@no_type_check
def _mark_boundary(pixels, box, width, edge, edge_box):
    """Write the boundary of one object within its box, and return its length: what differs from right, lower or both.

    What lies in ``edge`` outside the box is left as it was.
    """
    height, words = pixels.shape
    edge_box[_TOP], edge_box[_BOTTOM] = max(box[_TOP] - 1, 0), box[_BOTTOM]
    edge_box[_LEFT], edge_box[_RIGHT] = max(box[_LEFT] - 1, 0), box[_RIGHT]
    in_image = _ONES >> np.uint64(64 * words - width)
    length = 0
    for y in range(edge_box[_TOP], edge_box[_BOTTOM] + 1):
        row, below = np.uint64(y), np.uint64(min(y + 1, height - 1))
        for word in range(edge_box[_LEFT], edge_box[_RIGHT] + 1):
            here, lower = pixels[row, np.uint64(word)], pixels[below, np.uint64(word)]
            if word + 1 < words:
                beside, lower_beside = pixels[row, np.uint64(word + 1)], pixels[below, np.uint64(word + 1)]
                right = (here >> np.uint64(1)) | (beside << np.uint64(63))
                lower_right = (lower >> np.uint64(1)) | (lower_beside << np.uint64(63))
                bits = (here | right | lower | lower_right) & ~(here & right & lower & lower_right)
            else:
                right = (here >> np.uint64(1)) | (here & _TOP_BIT)
                lower_right = (lower >> np.uint64(1)) | (lower & _TOP_BIT)
                bits = (here | right | lower | lower_right) & ~(here & right & lower & lower_right) & in_image
            edge[row, np.uint64(word)] = bits
            length += _ones_in(bits)
    return length


@LOOPS.inner
@no_type_check
def _widen(within, width, wanted):
    """Bits that were grown to both sides by ``width``, grown by ``wanted``; what leaves the word is lost.

    A bit at the word's edge has grown to one side only, so a step is no longer than that side and the bit itself.
    """
    while width < wanted:
        step = min(wanted - width, width + 1)
        within |= (within << np.uint64(step)) | (within >> np.uint64(step))
        width += step
    return within


@LOOPS.inner
@no_type_check
def _grow(edge, box, half_widths, grown, grown_box):
    """Dilate one boundary by the disk into ``grown``, which is cleared first where it was used."""
    _clear(grown, grown_box)
    radius = half_widths.size - 1
    grown_box[_TOP], grown_box[_BOTTOM] = max(box[_TOP] - radius, 0), min(box[_BOTTOM] + radius, edge.shape[0] - 1)
    grown_box[_LEFT], grown_box[_RIGHT] = max(box[_LEFT] - 1, 0), min(box[_RIGHT] + 1, edge.shape[1] - 1)
    low_rim, high_rim = _ONES >> np.uint64(64 - radius), _ONES << np.uint64(64 - radius)
    for y in range(box[_TOP], box[_BOTTOM] + 1):
        up, down = min(radius, y), min(radius, edge.shape[0] - 1 - y)  # rows of the disk that are in the image
        for word in range(box[_LEFT], box[_RIGHT] + 1):
            bits = edge[y, word]
            if bits == _NOTHING:
                continue
            within, width = bits, 0
            for distance in range(radius, -1, -1):
                within, width = _widen(within, width, half_widths[distance]), half_widths[distance]
                if distance <= down:
                    grown[np.uint64(y + distance), np.uint64(word)] |= within
                if distance <= up:
                    grown[np.uint64(y - distance), np.uint64(word)] |= within
            if bits & low_rim != _NOTHING and word > 0:
                lowest = bits & (~bits + np.uint64(1))
                _spread(grown, y, word - 1, up, down, lowest, half_widths, True)
            if bits & high_rim != _NOTHING and word + 1 < edge.shape[1]:
                _spread(grown, y, word + 1, up, down, bits, half_widths, False)


@LOOPS.inner
@no_type_check
def _spread(grown, y, word, up, down, bits, half_widths, is_before):
    """Add what a word's bits, grown, are in the word beside it: all from the lowest one up, or the highest one down."""
    for distance in range(max(up, down), -1, -1):
        width = half_widths[distance]
        if width == 0:
            continue
        if is_before:
            beside = _NOTHING - (bits << np.uint64(64 - width))
        else:
            beside = bits >> np.uint64(64 - width)
            shift = 1
            while shift < width:
                beside |= beside >> np.uint64(shift)
                shift *= 2
        if beside == _NOTHING:
            continue
        if distance <= down:
            grown[np.uint64(y + distance), np.uint64(word)] |= beside
        if distance <= up:
            grown[np.uint64(y - distance), np.uint64(word)] |= beside


@LOOPS.inner
@no_type_check
def _ones_in(word):
    """How many bits are set (Hacker's Delight, figure 5-2; LLVM makes one instruction of it)."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * _EVERY_BYTE) >> np.uint64(56))


@LOOPS.inner
@no_type_check
def _count_common(edge, box, other, other_box):
    """How many bits two maps share; each is empty outside its box."""
    low, high = max(box[_LEFT], other_box[_LEFT]), min(box[_RIGHT], other_box[_RIGHT]) + 1
    count = 0
    for y in range(max(box[_TOP], other_box[_TOP]), min(box[_BOTTOM], other_box[_BOTTOM]) + 1):
        for word in range(low, high):
            count += _ones_in(edge[y, word] & other[y, word])
    return count


@LOOPS.inner
@no_type_check
def _fill_counts(joint, edges, boxes, grown, grown_boxes, half_widths, crossed, lengths, counts):
    """Write one row of ``counts`` a pair."""
    proposals, objects = joint.shape[0] - 2, joint.shape[1] - 2
    for slot in range(proposals + objects):
        is_paired = crossed or lengths[slot - proposals if slot >= proposals else slot + proposals] > 0
        if lengths[slot] and is_paired:
            _grow(edges[slot], boxes[slot], half_widths, grown[slot], grown_boxes[slot])
    for pair in range(counts.shape[0]):
        p, n = (pair // objects, pair % objects) if crossed else (pair, pair)
        true = proposals + n
        both = joint[p + 1, n + 1]
        counts[pair, INTERSECTION] = both
        counts[pair, UNION] = joint[p + 1, objects + 1] + joint[proposals + 1, n + 1] - both
        counts[pair, PREDICTED] = lengths[p]
        counts[pair, TRUE] = lengths[true]
        counts[pair, PREDICTED_NEAR_TRUE] = counts[pair, TRUE_NEAR_PREDICTED] = 0
        if lengths[p] and lengths[true]:
            counts[pair, PREDICTED_NEAR_TRUE] = _count_common(edges[p], boxes[p], grown[true], grown_boxes[true])
            counts[pair, TRUE_NEAR_PREDICTED] = _count_common(edges[true], boxes[true], grown[p], grown_boxes[p])
