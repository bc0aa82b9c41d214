bind("arrow", ({ data, value, ticked, trace, word, say }) => {
  const { rate, pull, steps, longest, reach } = data;
  const follow = ([x, y], step, decay) => {
    const size = Math.hypot(x, y), angle = Math.atan2(y, x);
    const asked = Math.PI / 2 + (step % 2 === 0 ? pull : -pull);
    const gradient = Math.sin(angle - asked) / size, kept = 1 - rate * decay;
    return [kept * x + rate * gradient * Math.sin(angle), kept * y - rate * gradient * Math.cos(angle)];
  };
  const walk = (length, decay) => {
    const weights = [[0, length]];
    for (let step = 0; step < steps; step++) weights.push(follow(weights[step], step, decay));
    return weights;
  };
  const angle = ([x, y], [nextX, nextY]) => Math.abs(Math.atan2(x * nextY - y * nextX, x * nextX + y * nextY)) * 180 / Math.PI;
  const place = ([x, y]) => [0.5 + x / (2 * reach), 0.5 + y / (2 * reach)];
  const size = ([x, y]) => Math.hypot(x, y);
  return () => {
    const at = value("at"), start = value("length"), decay = ticked("decay");
    const walks = { free: walk(start, 0), decayed: walk(start, data.decay) };
    for (const [name, weights] of Object.entries(walks)) trace(name, weights.map((each, i) => [i / steps, size(each) / (1.2 * longest)]).filter((_, i) => i % 4 === 0));
    const here = (decay ? walks.decayed : walks.free)[at], next = follow(here, at, 0), length = size(here);
    trace("arrow", [place([0, 0]), place(here)]);
    trace("tip", [place(here)]);
    trace("step", [place(here), place(here.map((each, i) => each + 12 * (next[i] - each)))]);
    trace("now", [[at / steps, length / (1.2 * longest)]]);
    word("at", String(at));
    word("length", fixed(start));
    const unit = here.map((each) => each / length);
    const compared = Math.abs(length - 1) < 0.005 ? "." : `. A filter of length 1.00 would be turned by ${fixed(angle(unit, follow(unit, at, 0)), 1)} degrees.`;
    const since = at ? ` It began with length ${fixed(start)}${decay ? "; with decay it moves towards the length at which growth and decay cancel" : ", and no step has made it shorter"}.` : "";
    say(`At step ${at} the filter is ${fixed(length)} long, and its next step turns it by ${fixed(angle(here, next), 1)} degrees${compared}${since}`);
  };
}, { stride: 4, jump: 20 });
