"""The cheapest path through a matrix of costs, with the ties of Boost's Dijkstra.

Histograms hold whole numbers, so equal costs are common and the path depends on which of several equal paths is
found: the one that Dijkstra's search with a 4-ary heap gives (Boost Graph Library, ``dijkstra_shortest_paths``). A
dynamic programme finds the same path far sooner wherever no two predecessors are equally near; only where the way back
meets such a tie is the search run.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from harness.api.machine_code import Loops, as_array
from harness.metrics.shapes import Float64, Int64

LOOPS = Loops(__file__)
_ARITY = 4
_WHITE, _GREY, _BLACK = range(3)


def cheapest_path(costs: Float64[np.ndarray, "P Q"]) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"]]:
    """Return rows and columns of the cheapest path by steps right, down, diagonal; the last corner comes first.

    A step costs what the entered node costs; the first node is free.
    """
    costs = np.ascontiguousarray(costs)
    path = np.empty(sum(costs.shape), np.int64)
    length = programme(costs, *costs.shape, np.empty(costs.shape), path, len(path))
    return _as_rows_and_columns(path[:length], costs) if length else cheapest_path_by_search(costs)


def cheapest_path_by_search(
    costs: Float64[np.ndarray, "P Q"],
) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"]]:
    """The same by Dijkstra's search alone."""
    costs = np.ascontiguousarray(costs)
    nodes, path = np.zeros((4, costs.size), np.int32), np.empty(sum(costs.shape), np.int64)
    distances, keys = np.full(costs.size, np.inf), np.empty(costs.size, np.float64)
    length = search(costs, *costs.shape, distances, keys, nodes, path, len(path))
    return _as_rows_and_columns(path[:length], costs)


def _as_rows_and_columns(
    path: Int64[np.ndarray, " N"], costs: Float64[np.ndarray, "P Q"]
) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"]]:
    return path // costs.shape[1], path % costs.shape[1]


@LOOPS.entry("f8*, i8, i8, f8*, i8*, i8 -> i8")
@no_type_check
def programme(costs, rows, columns, distances, path, size):
    """Write the nodes of the cheapest path, the last first; return how many, 0 where a tie is met on the way back."""
    costs, distances = as_array(costs, (rows, columns)), as_array(distances, (rows, columns))
    path = as_array(path, (size,))
    _fill_distances(costs, distances)
    x, y = rows - 1, columns - 1
    length = 0
    while x > 0 or y > 0:
        path[length] = x * columns + y
        length += 1
        left = distances[x, y - 1] if y > 0 else np.inf
        above = distances[x - 1, y] if x > 0 else np.inf
        diagonal = distances[x - 1, y - 1] if x > 0 and y > 0 else np.inf
        if diagonal < left and diagonal < above:
            x, y = x - 1, y - 1
        elif left < diagonal and left < above:
            y -= 1
        elif above < diagonal and above < left:
            x -= 1
        else:
            return 0
    path[length] = 0
    return length + 1


@LOOPS.inner
@no_type_check
def _fill_distances(costs, distances):
    """The cost of the cheapest path to every node."""
    rows, columns = costs.shape
    distances[0, 0] = 0.0
    for y in range(1, columns):
        distances[0, y] = distances[0, y - 1] + costs[0, y]
    for x in range(1, rows):
        row, above, cost = distances[x], distances[x - 1], costs[x]
        left = row[0] = above[0] + cost[0]
        for y in range(1, columns):
            left = min(min(above[y - 1], above[y]), left) + cost[y]
            row[y] = left


@LOOPS.entry("f8*, i8, i8, f8*, f8*, i4*, i8*, i8 -> i8")
@no_type_check
def search(costs, rows, columns, distances, keys, nodes, path, most):
    """Dijkstra's search; out-edges in the order right, down, diagonal; a node's first cheapest predecessor stays.

    ``keys`` holds the distances of the heap's nodes beside them, where they are compared.
    """
    flat, distances = as_array(costs, (rows * columns,)), as_array(distances, (rows * columns,))
    keys, nodes = as_array(keys, (rows * columns,)), as_array(nodes, (4, rows * columns))
    path = as_array(path, (most,))
    predecessors, colours, places, heap = nodes[0], nodes[1], nodes[2], nodes[3]
    last = rows * columns - 1
    distances[0], keys[0], heap[0], size = 0.0, 0.0, 0, 1
    while heap[0] != last:
        node = np.int64(heap[0])
        colours[node] = _BLACK
        size -= 1
        heap[0], keys[0] = heap[size], keys[size]
        places[heap[0]] = 0
        _sift_down(heap, keys, places, size)
        can_right, can_down = node % columns < columns - 1, node // columns < rows - 1
        if can_right:
            size = _relax(flat, distances, predecessors, colours, places, heap, keys, size, node, node + 1)
        if can_down:
            size = _relax(flat, distances, predecessors, colours, places, heap, keys, size, node, node + columns)
        if can_right and can_down:
            size = _relax(flat, distances, predecessors, colours, places, heap, keys, size, node, node + columns + 1)
    return _walk_back(predecessors, last, path)


@LOOPS.inner
@no_type_check
def _relax(flat, distances, predecessors, colours, places, heap, keys, size, node, target):
    """Go from a node to a target where that is nearer than before; return the size of the heap."""
    if colours[target] == _BLACK or distances[node] + flat[target] >= distances[target]:
        return size
    distances[target] = distances[node] + flat[target]
    predecessors[target] = node
    if colours[target] == _WHITE:
        colours[target] = _GREY
        heap[size], places[target] = target, size
        size += 1
    keys[places[target]] = distances[target]
    _sift_up(heap, keys, places, np.int64(places[target]))
    return size


@LOOPS.inner
@no_type_check
def _walk_back(predecessors, last, path):
    """Write the nodes from the last to node 0; return how many."""
    path[0] = last
    length = 1
    while path[length - 1] != 0:
        path[length] = predecessors[path[length - 1]]
        length += 1
    return length


@LOOPS.inner
@no_type_check
def _sift_up(heap, keys, places, place):
    node, key = heap[place], keys[place]
    while place > 0:
        parent = (place - 1) // _ARITY
        if key >= keys[parent]:
            break
        heap[place], keys[place] = heap[parent], keys[parent]
        places[heap[place]] = place
        place = parent
    heap[place], keys[place] = node, key
    places[node] = place


@LOOPS.inner
@no_type_check
def _sift_down(heap, keys, places, size):
    node, key = heap[0], keys[0]
    place = np.int64(0)
    while _ARITY * place + 1 < size:
        first = _ARITY * place + 1
        nearest = first
        for child in range(first + 1, min(first + _ARITY, size)):
            if keys[child] < keys[nearest]:
                nearest = child
        if keys[nearest] >= key:
            break
        heap[place], keys[place] = heap[nearest], keys[nearest]
        places[heap[place]] = place
        place = nearest
    heap[place], keys[place] = node, key
    places[node] = place
