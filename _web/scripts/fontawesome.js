// The icons come from the web font; the theme's second copy of them, 543 KB of script, is left out.
