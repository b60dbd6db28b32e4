"""The one style sheet of all pages, and the policy that lets a browser load nothing else."""

import base64
import hashlib
from typing import Final

HUES: Final = (145, 210, 320, 45, 265, 10, 175, 95)  # of sources, by their place
QUOTED: Final = "quoted"

_SHEET: Final = """
:root{color-scheme:light dark;--page:#fbfbfa;--card:#fff;--text:#1c1d1f;--dim:#62666d;
--rule:#e3e4e6;
--accent:#2457c5;--good:#1a7f45;--wait:#8a5a00;--bad:#b3261e;--light:90%;--chroma:60%;--strong:38%}
@media(prefers-color-scheme:dark){:root{--page:#131416;--card:#1b1d20;--text:#e8e9eb;--dim:#9ba0a8;
--rule:#303338;--accent:#8ab0ff;--good:#5cc98a;--wait:#e2b04a;--bad:#ff8a80;--light:23%;--chroma:42%;
--strong:68%}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:16px/1.55 system-ui,sans-serif;
overflow-wrap:anywhere}
main{max-width:56rem;margin:0 auto;padding:1.25rem 1rem 4rem}
h1{font-size:1.35rem;line-height:1.3;margin:.2rem 0 .6rem}
h2{font-size:1.05rem;margin:2.2rem 0 .7rem}
a{color:var(--accent)}
code,.hex{font:.82em/1.5 ui-monospace,monospace}
small,.dim{color:var(--dim);font-size:.85rem}
.top{display:flex;justify-content:space-between;gap:1rem;flex-wrap:wrap;color:var(--dim);
font-size:.85rem}
.badge{display:inline-block;border:1px solid;border-radius:1rem;padding:.05rem .7rem;
font-size:.85rem;font-weight:600;white-space:nowrap}
.final{color:var(--good)}.pending,.unattributed{color:var(--wait)}.slashed,.voided{color:var(--bad)}
.card{background:var(--card);border:1px solid var(--rule);border-radius:.6rem;padding:.9rem 1rem;
margin:.6rem 0}
.text{white-space:pre-wrap;unicode-bidi:isolate}
blockquote.text{margin:0;line-height:1.75}
mark{color:inherit;border-radius:.2rem;padding:.08em .1em;-webkit-box-decoration-break:clone;
box-decoration-break:clone}
mark a{color:inherit;text-decoration:none}
mark sup,.num{font:600 .68rem/1 ui-monospace,monospace;color:var(--dim);padding:0 .1em}
mark.quoted{background:none;border-bottom:2px dotted var(--dim);border-radius:0}
.legend{display:flex;flex-wrap:wrap;gap:.35rem 1.1rem;margin:.9rem 0 0;padding:0;list-style:none;
font-size:.9rem}
.dot{display:inline-block;width:.8em;height:.8em;border-radius:.2rem;margin-right:.4em;
vertical-align:-.06em;background:currentColor}
.money{font-variant-numeric:tabular-nums;font-weight:600}
.money,.wei{white-space:nowrap}
.wei{display:block;font-size:.78rem;color:var(--dim);font-weight:400;
font-variant-numeric:tabular-nums}
.row{display:grid;grid-template-columns:1fr auto;gap:.1rem 1rem;align-items:start}
.row .money{text-align:right}
.source{margin:.35rem 0 0;padding-left:.7rem;border-left:3px solid}
:target{outline:2px solid var(--accent);outline-offset:2px}
dl{display:grid;grid-template-columns:minmax(8rem,auto) 1fr;gap:.3rem 1rem;margin:0}
dt{color:var(--dim)}dd{margin:0}
table{width:100%;border-collapse:collapse}
td,th{padding:.3rem .4rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--rule)}
td:last-child,th:last-child{text-align:right}
tfoot td{font-weight:600;border:0}
tr.in td:first-child{padding-left:1.4rem}
svg{display:block;width:100%;overflow:visible}
svg.split{height:1.1rem;margin:0 0 .8rem;border-radius:.3rem}
svg.score{height:.5rem;margin:.45rem 0}
.track{fill:var(--rule)}.bar{fill:var(--accent)}.bar.none{fill:var(--dim)}
.line{stroke:var(--bad);stroke-width:1.5;vector-effect:non-scaling-stroke}
.p0{fill:hsl(215 15% 55%);color:hsl(215 15% 55%)}.p1{fill:hsl(265 45% 58%);color:hsl(265 45% 58%)}
.p2{fill:hsl(290 40% 66%);color:hsl(290 40% 66%)}.p3{fill:hsl(200 55% 50%);color:hsl(200 55% 50%)}
.p4{fill:hsl(145 55% 42%);color:hsl(145 55% 42%)}.p5{fill:hsl(45 80% 48%);color:hsl(45 80% 48%)}
.p6{fill:hsl(25 10% 60%);color:hsl(25 10% 60%)}
.threshold{display:flex;align-items:center;gap:.7rem;color:var(--bad);font-size:.85rem;
font-weight:600;margin:1rem 0}
.threshold::before,.threshold::after{content:"";flex:1;border-top:2px dashed}
details summary{cursor:pointer;color:var(--dim);font-size:.9rem}
.excerpt{font-size:.85rem;color:var(--dim);margin:.4rem 0 0;max-height:9rem;overflow:auto}
.totals{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.6rem}
.totals .card{margin:0}
.note{color:var(--wait)}
form{display:flex;gap:.5rem;flex-wrap:wrap}
input{font:inherit;flex:1;min-width:12rem;padding:.4rem .6rem;border:1px solid var(--rule);
border-radius:.4rem;background:var(--card);color:inherit}
button{font:inherit;padding:.4rem .9rem;border:1px solid var(--accent);border-radius:.4rem;
background:none;color:var(--accent)}
@media(max-width:34rem){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.5rem}
main{padding:1rem .75rem 3rem}.card{padding:.75rem}.wei{font-size:.7rem}
.row{grid-template-columns:1fr}.row .money{text-align:left}}
"""


def _hues() -> str:
    return "".join(
        f"mark.c{n}{{background:hsl({hue} var(--chroma) var(--light))}}"
        f".k{n}{{color:hsl({hue} var(--chroma) var(--strong))}}"
        f".source.k{n}{{border-color:currentColor}}.source.k{n}>*{{color:var(--text)}}"
        for n, hue in enumerate(HUES)
    )


SHEET: Final = (_SHEET + _hues()).replace("\n", "")
_HASH: Final = base64.b64encode(hashlib.sha256(SHEET.encode()).digest()).decode()
HEADERS: Final = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def hue(place: int) -> int:
    """Which of the colours the source at this place of the list has."""
    return place % len(HUES)
