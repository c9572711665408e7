"""Chromium as a client of the interoperability cases: a page that fetches every file over HTTP/3.  Runs in the peers' tree.

    chromium_endpoint.py ADDRESS SPKI OUT PATHS SECONDS      PATHS: a file with a path a line

The page (page.html of the server's folder, written by page()) puts each file, in base64, into its document, which Chromium
prints at the end; no byte is taken from anywhere else.
"""
import base64
import re
import subprocess
import sys
from pathlib import Path

NAME = "millrace.test"
PAGE = """<!doctype html><title>files</title><pre id=out></pre><script>
const names = {names};
async function some() {{  // one of a hundred that fetch one file after the other
  const out = document.getElementById("out");
  for (let name; (name = names.pop()) !== undefined;) {{
    const bytes = new Uint8Array(await (await fetch("/" + name)).arrayBuffer());
    let text = "";
    for (let at = 0; at < bytes.length; at += 3 << 12)
      text += btoa(String.fromCharCode(...bytes.subarray(at, at + (3 << 12))));
    out.append("[" + name + " " + text + "]\\n");
  }}
}}
for (let i = 0; i < 100; i++) some();
</script>
"""


def page(names):
    """The page for these files."""
    return PAGE.format(names=list(names))


def main(address, spki, out, paths, seconds):
    done = subprocess.run(
        ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--user-data-dir=/tmp/chromium",
         f"--origin-to-force-quic-on={NAME}:443", f"--ignore-certificate-errors-spki-list={spki}",
         f"--host-resolver-rules=MAP {NAME} {address}", f"--virtual-time-budget={1000 * int(float(seconds))}", "--dump-dom",
         f"https://{NAME}/page.html"], capture_output=True, text=True, check=False)
    found = dict(re.findall(r"\[(\S+) (\S*)\]", done.stdout))
    for path in Path(paths).read_text(encoding="ascii").split():
        name = path.lstrip("/")
        if name not in found:
            print(done.stderr[-500:], f"{name[:40]} was not fetched", sep="\n")
            return 1
        Path(out, name).write_bytes(base64.b64decode(found[name]))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
