// The layout of a map: layers from left to right in the direction of work, by a simple form of Sugiyama's method. Edges that
// close a cycle are reversed, an edge over several layers bends in each, and nodes move towards their neighbours.

const ROUNDS = 8; // rounds of ordering and moving; more rounds change nothing at this size

/**
 * Lay out nodes `[{id, kind}]`, beginning with the first, and edges `[{source, target}]` by id. Return the numbers of
 * `layers` and `rows`; `at`, the `{layer, y}` of each node by id; `bends`, the positions where an edge bends, from left to
 * right; and the edges that lead `backwards`.
 */
export function layout(nodes, edges) {
  const backwards = edgesToReverse(nodes, edges);
  const forward = edges.map((edge) => (backwards.has(edge) ? { edge, from: edge.target, to: edge.source } : { edge, from: edge.source, to: edge.target }));
  const layerOf = layersOf(nodes, forward);
  const layers = Array.from({ length: 1 + Math.max(...layerOf.values()) }, () => []);
  const places = new Map();
  const put = (id, layer) => {
    const place = { id, layer, y: layers[layer].length, before: [], after: [] };
    layers[layer].push(place);
    places.set(id, place);
    return place;
  };
  for (const { id } of nodes) put(id, layerOf.get(id));
  const bends = new Map();
  forward.forEach(({ edge, from, to }, index) => {
    let last = places.get(from);
    const between = [];
    for (let layer = last.layer + 1; layer < layerOf.get(to); layer += 1) {
      const bend = put(`bend ${index} ${layer}`, layer);
      join(last, bend);
      between.push((last = bend));
    }
    join(last, places.get(to));
    bends.set(edge, between);
  });
  for (let round = 0; round < ROUNDS; round += 1) for (const layer of layers) order(layer);
  for (let round = 0; round < ROUNDS; round += 1) for (const layer of layers) pull(layer);
  const top = Math.min(...[...places.values()].map(({ y }) => y));
  for (const place of places.values()) place.y -= top;
  return { at: places, bends, backwards, layers: layers.length, rows: 1 + Math.max(...[...places.values()].map(({ y }) => y)) };
}

function join(left, right) {
  left.after.push(right);
  right.before.push(left);
}

/**
 * Return the edges to reverse: calls from a service to one that is nearer to the first node, and edges that close a cycle
 * in a depth-first search from the first node.
 */
function edgesToReverse(nodes, edges) {
  const distance = distances(nodes[0].id, edges);
  const services = new Set(nodes.filter(({ kind }) => kind === "service").map(({ id }) => id));
  const callsBack = ({ source, target }) => services.has(source) && services.has(target) && distance.get(target) < distance.get(source);
  const found = new Set(edges.filter(callsBack));
  const state = new Map();
  const walk = (id) => {
    state.set(id, "open");
    for (const edge of edges) {
      if (edge.source !== id || found.has(edge)) continue;
      if (state.get(edge.target) === "open") found.add(edge);
      else if (!state.has(edge.target)) walk(edge.target);
    }
    state.set(id, "done");
  };
  for (const { id } of nodes) if (!state.has(id)) walk(id);
  return found;
}

/** Return the distance of each node from the first one, in edges; unreachable nodes are missing. */
function distances(first, edges) {
  const distance = new Map([[first, 0]]);
  for (const [id, far] of distance) {
    for (const { source, target } of edges) if (source === id && !distance.has(target)) distance.set(target, far + 1);
  }
  return distance;
}

/** Return the layer of each node, which is greater than those of all nodes before it. */
function layersOf(nodes, forward) {
  const layers = new Map();
  const layerOf = (id) => {
    if (!layers.has(id)) layers.set(id, forward.reduce((most, { from, to }) => (to === id && from !== id ? Math.max(most, layerOf(from) + 1) : most), 0));
    return layers.get(id);
  };
  for (const { id } of nodes) layerOf(id);
  return layers;
}

function order(layer) {
  const wanted = new Map(layer.map((place) => [place, mean(place)]));
  layer.sort((a, b) => wanted.get(a) - wanted.get(b));
  layer.forEach((place, index) => Object.assign(place, { y: index - layer.length / 2 }));
}

/** Move each node towards its neighbours, without changing the order or the minimum distance. */
function pull(layer) {
  const wanted = layer.map(mean);
  layer.forEach((place, index) => Object.assign(place, { y: index ? Math.max(layer[index - 1].y + 1, wanted[index]) : wanted[index] }));
  const shift = layer.reduce((sum, place, index) => sum + wanted[index] - place.y, 0) / layer.length;
  for (const place of layer) place.y += shift;
}

function mean(place) {
  const around = [...place.before, ...place.after];
  return around.length ? around.reduce((sum, { y }) => sum + y, 0) / around.length : place.y;
}
