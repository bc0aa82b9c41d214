bind("head", ({ data, value, trace, word, say }) => {
  const { positions, centre, width, furthest } = data;
  const channel = (shift) => Array.from({ length: positions }, (_, i) => Math.exp(-(((i - centre - shift) / width) ** 2) / 2));
  const product = (a, b) => a.reduce((sum, each, i) => sum + each * b[i], 0);
  const learned = channel(0), one = learned.map(() => 1);
  return () => {
    const shift = value("at"), now = channel(shift), x = 0.5 + shift / (2 * furthest);
    now.forEach((each, i) => trace(`bar-${i}`, [[(i + 0.5) / positions, 0], [(i + 0.5) / positions, 0.9 * each]]));
    const reads = product(learned, now) / product(learned, learned), averages = product(one, now) / product(one, learned);
    trace("positions", [[x, reads / 1.2]]);
    trace("averages", [[x, averages / 1.2]]);
    const where = `${Math.abs(shift)} position${Math.abs(shift) > 1 ? "s" : ""} to the ${shift < 0 ? "left" : "right"}`;
    word("at", shift ? where : "none");
    if (!shift) return say("Not shifted: both heads give the class the score 1.00. Both were designed for the pattern in this place.");
    const left = averages < 0.95 ? " Part of the pattern has left the signal by now, so the mean falls as well." : " To the mean, it is still the same pattern.";
    say(`Shifted ${where}: the head that reads positions gives ${fixed(reads)}, the one that averages ${fixed(averages)}.${left}`);
  };
}, { milliseconds: 250 });
