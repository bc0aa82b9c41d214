"""Write fonts into the style sheets and scripts that name them, for pages that are opened from the file system.

Some browsers refuse such a page every file that is not an image, a script or a style sheet, fonts among them: formulas
and icons would fall apart.
"""

import base64
import posixpath
import re

# `url(../fonts/a.woff2)` in a style sheet; `url("%%URL%%/a.woff")` in MathJax's scripts, which know the folder later.
FONT = re.compile(r"""url\((?P<quote>["']?)(?P<path>[^)"']+\.woff2?)(?P=quote)\)""")


def embed_fonts(files: dict[str, bytes]) -> dict[str, bytes]:
    """The same files (contents by path), with every font that a style sheet or script names inside it, as a data URL.

    A font that is not among the files is left as it is.
    """
    by_name = {posixpath.basename(path): path for path in files if path.endswith((".woff", ".woff2"))}

    def data_url(match: re.Match, folder: str) -> str:
        path = posixpath.normpath(posixpath.join(folder, match["path"]))
        if match["path"].startswith("%%URL%%/"):
            path = by_name.get(posixpath.basename(match["path"]), path)
        if path not in files:
            return match[0]
        kind = path.rsplit(".", 1)[1]
        return f'url("data:font/{kind};base64,{base64.b64encode(files[path]).decode()}")'

    result = dict(files)
    for path, content in files.items():
        if path.endswith((".css", ".js")) and b".woff" in content:
            folder = posixpath.dirname(path)
            text = FONT.sub(lambda match, folder=folder: data_url(match, folder), content.decode())
            result[path] = text.encode()
    return result
