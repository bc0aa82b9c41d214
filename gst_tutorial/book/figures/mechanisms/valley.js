bind("valley", ({ data, value, ticked, trace, word, say }) => {
  const { sharp, flat, bottoms, edges, top, rate, steps, seed, bins, ridge } = data;
  const generator = (state) => () => { // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const loss = (x) => Math.min((sharp / 2) * (x - bottoms[0]) ** 2, (flat / 2) * (x - bottoms[1]) ** 2);
  const walk = (noise, start) => {
    const draw = generator(seed), places = [start];
    for (let i = 0; i < steps; i++) {
      const radius = Math.sqrt(-2 * Math.log(1 - draw())), normal = radius * Math.cos(2 * Math.PI * draw()), x = places[i];
      const slope = x < ridge ? sharp * (x - bottoms[0]) : flat * (x - bottoms[1]);
      places.push(x - rate * slope + noise * normal);
    }
    return places;
  };
  const across = (x) => Math.min(1, Math.max(0, (x - edges[0]) / (edges[1] - edges[0])));
  let known = "", places = [];
  return () => {
    const noise = value("noise"), at = value("at"), start = ticked("from-flat") ? 1 : 0, key = `${noise} ${start}`;
    if (key !== known) [known, places] = [key, walk(noise, bottoms[start])];
    const here = places[at], been = places.slice(1, at + 1);
    trace("ball", [[across(here), 0.25 + (0.75 * Math.min(loss(here), top)) / top]]);
    const visits = new Array(bins).fill(0);
    for (const x of been) visits[Math.min(bins - 1, Math.floor(across(x) * bins))]++;
    const most = Math.max(1, ...visits);
    visits.forEach((count, i) => trace(`visits-${i}`, [[(i + 0.5) / bins, 0], [(i + 0.5) / bins, (0.2 * count) / most]]));
    word("noise", fixed(noise));
    word("at", String(at));
    const valley = start ? "flat" : "sharp";
    if (!at) return say(`Step 0: the ball lies at the bottom of the ${valley} valley. Press Play, or move the step slider; the noise has a standard deviation of ${fixed(noise)}.`);
    const share = been.filter((x) => x > ridge).length / at, mean = been.reduce((sum, x) => sum + loss(x), 0) / at;
    const where = `After ${at} steps the ball has spent ${Math.round(100 * share)}% of them in the flat valley, and its mean loss is ${fixed(mean)}.`;
    if (!noise) return say(`${where} Without noise it stays where it started, in either valley.`);
    say(`${where} ${share === start ? "This noise has not carried it over the ridge yet." : `It started in the ${valley} one.`}`);
  };
}, { milliseconds: 30, stride: 2, jump: 50 });
