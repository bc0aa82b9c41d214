bind("signal", ({ data, value, ticked, write, trace, word, say }) => () => {
  const { x, mean, deviation, limits } = data, n = x.length, t = value("at");
  const kernel = ticked("no-weights") ? [0, 0, 0] : data.kernel;
  const scale = ticked("no-scale") ? 0 : data.scale, shift = ticked("no-shift") ? 0 : data.shift, mask = ticked("no-mask") ? 0 : 1;
  const u = x.map((_, i) => kernel[0] * (x[i - 1] ?? 0) + kernel[1] * x[i] + kernel[2] * (x[i + 1] ?? 0));
  const z = u.map((each) => (scale * (each - mean)) / deviation + shift);
  const masked = z.map((each) => mask * each), relu = masked.map((each) => Math.max(each, 0));
  const at = (i) => i / (n - 1);
  for (const [name, values] of Object.entries({ x, u, z, masked, relu })) {
    const points = values.map((each, i) => [at(i), 0.5 + each / (2 * limits[name])]);
    trace(name, points);
    trace(`${name}-dot`, [points[t]]);
    write(`${name}-number`, fixed(values[t]));
  }
  const left = at(Math.max(t - 1, 0)), right = at(Math.min(t + 1, n - 1));
  trace("window", [[left, 0], [right, 0], [right, 1], [left, 1]]);
  word("at", String(t));

  const constant = ticked("no-weights") || scale === 0;
  const cause = ticked("no-weights") ? "The weights are 0, so u = 0 at every sample" : "The scale is 0, so it no longer matters what the filter finds";
  const sum = ticked("no-weights")
    ? `z = β − γμ/σ = ${fixed(shift)} − ${fixed(scale)} × (${fixed(mean)}) / ${fixed(deviation)} = ${fixed(z[t])}`
    : `z = β = ${fixed(z[t])}`;
  if (mask === 0) say("The mask is 0. Whatever the filter and batch norm do, the next layer receives exactly 0 at every sample: this filter is silent.");
  else if (constant && z[t] === 0) say(`${cause}, and batch norm has no constant left to add: ${sum}. This filter is silent, too, but its scale and its shift had to go as well.`);
  else if (constant) say(`${cause}. But batch norm still returns ${sum}. The filter sees nothing and sends this constant to the next layer, at every sample.`);
  else say(`At sample ${t} the filter gives u = ${fixed(u[t])}. Batch norm turns it into z = ${fixed(z[t])}, the mask m = 1 leaves that as it is, and the relu passes on ${fixed(relu[t])}.`);
});
