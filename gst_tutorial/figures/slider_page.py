"""The style and the script that every slider figure carries with it (see `sliders.py`)."""

from __future__ import annotations

#: Colours of the figure around its always white picture: ink and soft reach a contrast of 4.5 on `card`, the others 3.
THEMES = {
    "light": {"card": "#ffffff", "ink": "#1f2328", "soft": "#57606a", "line": "#767f88", "accent": "#0072b2"},
    "dark": {"card": "#1c2024", "ink": "#e6e8ea", "soft": "#b0b7be", "line": "#8a939c", "accent": "#56b4e9"},
}


def _colours(theme: str) -> str:
    variables = "".join(f"--gst-{role}:{colour};" for role, colour in THEMES[theme].items())
    return f"{{{variables}color-scheme:{theme}}}"


# In this order: the system's wish, then what the page says (the book; JupyterLab; Colab), then paper.
_THEME_RULES = f"""\
.gst-slider{_colours("light")}
@media (prefers-color-scheme:dark){{.gst-slider{_colours("dark")}}}
:is(html[data-theme=light],[data-jp-theme-light=true],html[theme=light]) .gst-slider{_colours("light")}
:is(html[data-theme=dark],[data-jp-theme-light=false],html[theme=dark]) .gst-slider{_colours("dark")}
@media print{{.gst-slider.gst-slider.gst-slider{_colours("light")}\
.gst-slider .gst-controls{{display:none!important}}}}
"""

# The rules marked !important undo the light panel, the padding and the dimming of the book's dark theme.
SHEET = f"""
{_THEME_RULES}\
.gst-slider{{box-sizing:border-box;margin:1rem auto;padding:1rem;border:1px solid var(--gst-line);border-radius:8px;\
background:var(--gst-card);color:var(--gst-ink);font-size:16px;line-height:1.5;text-align:left;break-inside:avoid}}
.gst-slider *{{box-sizing:border-box}}
.text_html:has(>.gst-slider){{background:none!important;padding:0!important}}
.gst-slider .gst-title{{margin:0 0 .5rem;font-weight:600}}
.gst-slider .gst-picture{{background:#fff;border-radius:4px;padding:4px}}
.gst-slider .gst-picture img{{display:block;width:100%;height:auto;margin:0;padding:0!important;\
background:#fff!important;filter:none!important}}
.gst-slider .gst-controls{{display:flex;flex-wrap:wrap;gap:.25rem 1rem;align-items:center;margin-top:.5rem}}
.gst-slider button{{min-width:6.5em;min-height:44px;padding:0 .8em;border:1px solid var(--gst-line);border-radius:6px;\
background:var(--gst-card);color:var(--gst-ink);font:inherit;cursor:pointer}}
.gst-slider button::before{{content:"";display:inline-block;width:.7em;height:.8em;margin-right:.5em;\
background:currentColor;clip-path:polygon(0 0,100% 50%,0 100%)}}
.gst-slider button[data-verb=Pause]::before{{\
clip-path:polygon(0 0,35% 0,35% 100%,0 100%,0 0,65% 0,100% 0,100% 100%,65% 100%,65% 0)}}
.gst-slider .gst-range{{flex:1 1 15rem;min-width:0}}
.gst-slider label{{display:block;margin:0;font:inherit;color:var(--gst-ink)}}
.gst-slider input{{accent-color:var(--gst-accent);margin:0;cursor:pointer}}
.gst-slider input[type=range]{{display:block;width:100%;height:32px}}
.gst-slider .gst-ends{{display:flex;justify-content:space-between;gap:.75rem;font-size:14px;line-height:1.3;\
color:var(--gst-soft)}}
.gst-slider .gst-ends b{{color:var(--gst-ink);text-align:center}}
.gst-slider .gst-ends span{{flex:1 1 0}}
.gst-slider .gst-ends span:last-child{{text-align:right}}
.gst-slider .gst-choice{{display:flex;flex-wrap:wrap;gap:0 1rem;flex-basis:100%;min-width:0;\
margin:0;padding:0;border:0}}
.gst-slider .gst-choice legend{{float:left;width:auto;margin:0 1rem 0 0;padding:0;font:inherit;line-height:32px}}
.gst-slider .gst-choice label{{display:flex;align-items:center;gap:.4em;min-height:32px}}
.gst-slider :is(button,input):focus-visible{{outline:3px solid var(--gst-accent);outline-offset:2px}}
.gst-slider .gst-text{{display:block;min-height:3em;margin:.5rem 0 0;padding:0;font:inherit;color:var(--gst-ink)}}
.gst-slider :is(figcaption,.gst-note){{margin:.5rem 0 0;padding:0;font-size:14px;text-align:left;color:var(--gst-soft)}}
"""

# It binds every figure that is not bound yet: a cell that is run again brings a new figure of the same name, and some
# notebooks run a script away from its place. Radio groups get a name of their own for the same reason.
SCRIPT = """
(() => {
  const reduced = matchMedia("(prefers-reduced-motion: reduce)");
  const SECONDS_PER_STATE = 1.2;
  for (const root of document.querySelectorAll(".gst-slider:not([data-bound])")) {
    root.dataset.bound = "";
    const find = (selector) => root.querySelector(selector);
    const data = JSON.parse(find("script[type='application/json']").textContent);
    const image = find("img"), range = find("input[type=range]"), button = find("button");
    const text = find("output"), radios = [...root.querySelectorAll("input[type=radio]")];
    const last = data.labels.length - 1;
    let timer = 0;
    window.gstFigures = (window.gstFigures || 0) + 1;
    for (const radio of radios) radio.name = `${root.id}-choice-${window.gstFigures}`;

    const draw = () => {
      const row = Math.max(0, radios.findIndex((radio) => radio.checked)), i = Number(range.value);
      image.src = data.frames[row][i];
      image.alt = data.alts[row][i];
      range.setAttribute("aria-valuetext", data.labels[i]);
      find(".gst-ends b").textContent = data.labels[i];
      text.querySelector("b").textContent = data.states[row][i] + ":";
      text.querySelector("span").textContent = data.texts[row][i];
    };
    const name = (verb) => { button.dataset.verb = button.textContent = verb; };
    const pause = () => {
      clearInterval(timer);
      timer = 0;
      text.setAttribute("aria-live", "polite");
      name(reduced.matches ? "Next" : "Play");
    };
    const move = (i) => { range.value = i; draw(); };
    const tick = () => {
      if (!root.isConnected) return pause();
      move(Number(range.value) + 1);
      if (Number(range.value) >= last) pause();
    };
    button.addEventListener("click", () => {
      const next = Number(range.value) >= last ? 0 : Number(range.value) + 1;
      if (timer) return pause();
      if (reduced.matches) return move(next);
      text.setAttribute("aria-live", "off"); // a film is not to be read aloud frame by frame
      name("Pause");
      move(next);
      if (next < last) timer = setInterval(tick, 1000 * SECONDS_PER_STATE);
      else pause();
    });
    range.addEventListener("input", () => { pause(); draw(); });
    for (const radio of radios) radio.addEventListener("change", () => { pause(); draw(); });
    reduced.addEventListener("change", pause);
    find(".gst-controls").style.display = "";
    pause();
  }
})();
"""
