#!/usr/bin/env python3
"""The installed library: headers, linking, what it exports and needs, man pages.

    tests/package/package_test.py BUILD_FOLDER COMPILER...

Installs what an application needs (meson's tags runtime, devel and man) into a folder of its own, and uses only that.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(sys.argv[1]).resolve()
CC = sys.argv[2:]
LANGUAGES = [("c", CC, "-std=c11"), ("c++", ["c++"], "-std=c++17")]
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
LIBC_HEADERS = {"errno.h", "poll.h", "sys/socket.h", "stdbool.h", "stddef.h", "stdint.h", "string.h", "sys/types.h", "sys/uio.h"}
LIBRARIES_NEEDED = r"(libc|libpthread|libm|ld-linux-[\w-]+|liburing)\.so\.\d+"  # liburing: meson's option uring
ANSWERS = re.compile(r"attach: ENOENT: .*/nonexistent/millrace\.sock.*no such socket.*\ntimers: 1\nfiber: 42\n")


LIBRARIES = {"http3.h": "millrace-http3", "http3_io.h": "millrace-http3", "jsonrpc.h": "millrace-jsonrpc"}  # the others are millrace-app's


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace", **options)


def output_of(*command, **options):
    result = run(*command, **options)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout


class Installed:
    """The package in a folder of its own, as pkg-config sees it there."""

    def __init__(self, folder):
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        output_of("meson", "install", "-C", BUILD, "--no-rebuild", "--tags", "runtime,devel,man", "--destdir",
                  folder / "root")
        self.root = folder / "root"
        self.pc = self.only("**/millrace-app.pc")
        self.library = self.library_of("millrace-app")
        self.archive = self.only("**/libmillrace-app.a")
        self.include = self.only("**/include/millrace").parent
        self.headers = sorted((self.include / "millrace").glob("*.h"))  # coroutines are C++ only: examples/ compiles them
        json_c = output_of("pkg-config", "--variable=pcfiledir", "json-c").strip()  # the system's
        self.environment = {**os.environ, "PKG_CONFIG_LIBDIR": f"{self.pc.parent}:{json_c}", "PKG_CONFIG_PATH": "",
                            "PKG_CONFIG_SYSROOT_DIR": str(self.root), "LD_LIBRARY_PATH": str(self.library.parent)}

    def only(self, pattern):
        found = sorted(self.root.glob(pattern))
        if len(found) != 1:
            raise RuntimeError(f"{pattern}: {len(found)} installed")
        return found[0]

    def library_of(self, name):
        return self.only(f"**/lib{name}.so.0")

    def pkg_config(self, *options, name="millrace-app"):
        return output_of("pkg-config", *options, name, env=self.environment).split()

    def declared(self, name=None):
        """Functions that the compiler sees declared in the headers (of a library), but for inline ones."""
        source = self.scratch / "all.c"
        source.write_text("".join(f"#include <millrace/{header.name}>\n" for header in self.headers))
        text, ours = [], False
        for line in output_of(*CC, "-E", f"-I{self.include}", source).splitlines():
            marker = re.match(r'# \d+ "([^"]*)"', line)
            if marker:
                of = LIBRARIES.get(Path(marker[1]).name, "millrace-app")
                ours = marker[1].startswith(str(self.include / "millrace")) and name in (None, of)
            elif ours:
                text.append(line)
        flat = re.sub(r"\{[^{}]*\}", ";", re.sub(r"\{[^{}]*\}", ";", " ".join(text).replace('extern "C" {', "")))
        found = set()
        for statement in flat.split(";"):
            match = re.match(r"(?!typedef|static)[\w\s*]+?\b(mr_\w+)\s*\(", statement.strip())
            if match:
                found.add(match[1])
        return found


# ------------------------------------------------------------------ tests: each yields what is wrong

def test_every_public_header_is_installed(package):
    want = {path.name for path in (ROOT / "include" / "millrace").glob("*.h")}
    have = {path.name for path in package.headers}
    yield from (f"{name} is not installed: add it to public_headers in app/meson.build" for name in sorted(want - have))


def test_headers_stand_alone_in_c_and_cpp(package):
    for language, compiler, standard in LANGUAGES:
        sources = []
        for header in package.headers:
            source = package.scratch / f"{header.stem}_{language.replace('+', 'p')}.c"
            source.write_text(f"#include <millrace/{header.name}>\n" * 2)
            sources.append(source)
        result = run(*compiler, "-x", language, standard, *WARNINGS, "-Wconversion", "-Wshadow", "-fsyntax-only",
                     *package.pkg_config("--cflags"), *sources)
        if result.returncode != 0:
            yield f"{language}: {result.stderr}"


def test_no_tag_is_two_things_in_our_headers(_):
    """A struct and an enum of one name: whoever includes both headers, an application or a test, does not compile."""
    kinds = {}
    for folder in ("base", "quic", "drivers", "dataplane", "control", "http3", "app", "include/millrace"):
        for header in (ROOT / folder).glob("*.h"):
            for kind, tag in re.findall(r"^(struct|union|enum) (mr_\w+)\b", header.read_text(), re.M):
                kinds.setdefault(tag, {}).setdefault(kind, header)
    yield from (f"{tag} is " + ", ".join(f"{kind} in {header.relative_to(ROOT)}" for kind, header in of.items())
                for tag, of in sorted(kinds.items()) if len(of) > 1)


def test_all_headers_go_together_with_the_engines(package):
    source = package.scratch / "both.c"
    source.write_text("".join(f"#include <millrace/{header.name}>\n" for header in package.headers) +
                      "#include \"quic/types.h\"\n#include \"quic/endpoint.h\"\n")
    result = run(*CC, "-std=gnu17", "-D_GNU_SOURCE", *WARNINGS, "-fsyntax-only", f"-I{ROOT}", *package.pkg_config("--cflags"), source)
    if result.returncode != 0:
        yield result.stderr


def test_headers_include_only_millrace_and_libc(package):
    for header in package.headers:
        for name in re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)', header.read_text(), re.M):
            if not (name.startswith("millrace/") and (package.include / name).exists()) and name not in LIBC_HEADERS:
                yield f"{header.name} includes {name}"


def test_a_program_links_and_runs(package):
    static = package.pkg_config("--static", "--cflags", "--libs")
    shared = package.pkg_config("--cflags", "--libs")
    for language, compiler, standard in LANGUAGES:
        for how, flags in (("shared", shared), ("static", [*static, "-static"]),
                           ("static, libc shared", [f if f != "-lmillrace-app" else "-l:libmillrace-app.a" for f in static])):
            program = package.scratch / "program"
            output_of(*compiler, "-x", language, standard, *WARNINGS, ROOT / "tests/package/program.c", "-x", "none", "-o",
                      program, *flags)
            said = output_of(program, env=package.environment)
            if not ANSWERS.fullmatch(said):
                yield f"{language}, {how}: {said}"
            needs = re.findall(r"\(NEEDED\).*\[(.*)\]", output_of("readelf", "-d", program))
            if ("libmillrace-app.so.0" in needs) != (how == "shared"):
                yield f"{language}, {how}: needs {needs}"


def test_neither_dpdk_nor_openssl_is_needed(package):
    needs = re.findall(r"\(NEEDED\).*\[(.*)\]", output_of("readelf", "-d", package.library))
    yield from (f"needs {name}" for name in needs if not re.fullmatch(LIBRARIES_NEEDED, name))
    listed = output_of("ldd", package.library)
    yield from (line.strip() for line in listed.splitlines() if re.search(r"librte_|libssl|libcrypto|not found", line))
    for flag in package.pkg_config("--static", "--cflags", "--libs"):
        if not re.fullmatch(r"-[IL].*|-lmillrace-app|-luring|-l?pthread", flag):
            yield f"pkg-config says {flag}"


def test_pkg_config_names_liburing_where_it_is_needed(package):
    is_needed = "liburing" in output_of("readelf", "-d", package.library)
    if "-luring" in package.pkg_config("--libs"):
        yield "-luring: who links the shared library needs it not"
    if ("-luring" in package.pkg_config("--static", "--libs")) != is_needed:
        yield f"-luring for the archive: {not is_needed}, and the shared library needs it: {is_needed}"


def test_the_soname_is_right(package):
    soname = re.search(r"\(SONAME\).*\[(.*)\]", output_of("readelf", "-d", package.library))
    if soname is None or soname[1] != "libmillrace-app.so.0":
        yield f"soname: {soname and soname[1]}"
    link = package.library.parent / "libmillrace-app.so"
    if not link.is_symlink() or link.resolve() != package.library.resolve():
        yield "libmillrace-app.so does not lead to it"


def test_exactly_the_declared_functions_are_exported(package):
    for library, least in ("millrace-app", 100), ("millrace-jsonrpc", 7):
        path = package.library_of(library)
        symbols = [line.split() for line in output_of("nm", "-D", "--defined-only", path).splitlines()]
        exported = {name.split("@")[0] for _, kind, name in symbols if kind != "A"}
        declared = package.declared(library)
        if len(declared) < least:
            yield f"{library}: only {len(declared)} declarations were found"
        yield from (f"{name} is declared, and {library} does not export it" for name in sorted(declared - exported))
        yield from (f"{library} exports {name}, which is declared nowhere" for name in sorted(exported - declared))


def test_json_rpc_needs_the_other_library_and_json_c(package):
    needs = set(re.findall(r"\(NEEDED\).*\[(.*)\]", output_of("readelf", "-d", package.library_of("millrace-jsonrpc"))))
    yield from (f"does not need {name}" for name in {"libmillrace-app.so.0"} - needs)
    yield from (f"needs {name}" for name in needs if not re.fullmatch(LIBRARIES_NEEDED + r"|libmillrace-app\.so\.0|libjson-c\.so\.\d+", name))


def test_the_http3_archive_has_all_that_it_needs_but_libc(package):
    program = package.scratch / "http3"
    source = package.scratch / "http3.c"
    source.write_text("#include <millrace/http3.h>\nint main(void)\n{\n    struct mr_http3_url url;\n"
                      "    return mr_http3_client_new(0, 0, 0) != 0 || mr_http3_url_parse(\"https://h/\", &url);\n}\n")
    output_of(*CC, "-o", program, source, *package.pkg_config("--cflags", "--libs", name="millrace-http3"))
    needs = re.findall(r"\(NEEDED\).*\[(.*)\]", output_of("readelf", "-d", program))
    yield from (f"needs {name}" for name in needs
                if not re.fullmatch(LIBRARIES_NEEDED + r"|libmillrace-app\.so\.0|libnghttp3\.so\.\d+", name))


def test_every_declared_function_can_be_linked(package):
    for how in [], ["--static"]:
        yield from link_all(package, package.declared(), *how, "millrace-jsonrpc", "millrace-http3")


def link_all(package, names, *how):
    source = package.scratch / "addresses.c"
    source.write_text("".join(f"#include <millrace/{header.name}>\n" for header in package.headers) +
                      "void (*const functions[])(void) = {" + ",".join(f"(void (*)(void)){name}" for name in sorted(names)) +
                      "};\nint main(void)\n{\n    return functions[0] == 0;\n}\n")
    result = run(*CC, "-o", package.scratch / "addresses", source,
                 *package.pkg_config("--cflags", "--libs", *how[:-1], name=how[-1]), *(["-static"] if "--static" in how else []))
    if result.returncode != 0:  # that a static libc warns of getaddrinfo() is as it should be
        yield from result.stderr.splitlines()


def test_the_static_library_is_machine_code_with_names_of_ours(package):
    for line in output_of("nm", "--defined-only", package.archive).splitlines():
        parts = line.split()
        if len(parts) == 3 and parts[1] in "TDBRVCW" and not parts[2].startswith("mr_"):
            yield f"the archive defines {parts[2]}"
    if b"__gnu_lto_slim" in package.archive.read_bytes():
        yield "the archive has objects that only this compiler can link"


def test_every_function_has_a_man_page(package):
    pages = package.only("**/man3")
    inline = {name for header in package.headers for name in re.findall(r"^static inline [^(]*?(mr_\w+)\(", header.read_text(), re.M)}
    names = package.declared() | inline
    yield from (f"{path.name}: a page of nothing" for path in sorted(pages.iterdir()) if path.stem not in names)
    for name in sorted(names):
        path = pages / f"{name}.3"
        text = path.read_text() if path.exists() else ""
        if text.startswith(".so "):
            text = (pages.parent / text.split()[1]).read_text()
        if not re.search(rf'\.SH "NAME"\n.*\b{name}\b.* \\- \w.*\n\.SH "SYNOPSIS"[^@]*\b{name}\b[^@]*\.SH "DESCRIPTION"\n(?!\.SH)\S+ \S+', text):
            yield f"{name}.3: no page, or one without name, synopsis or description"


def test_every_header_has_a_man_page(package):
    pages = package.only("**/man7")
    for header in package.headers:
        path = pages / f"millrace_{header.stem}.7"
        text = path.read_text() if path.exists() else ""
        yield from (f"{path.name}: no {heading}" for heading in ("DESCRIPTION", "OWNERSHIP", "THREADS")
                    if f'.SH "{heading}"' not in text)


def test_man_pages_are_clean(package):
    if shutil.which("groff") is None:
        return "SKIP groff is not here"
    return clean_pages(package)


def clean_pages(package):
    folder = package.only("**/man3").parent
    for path in sorted(folder.glob("man?/*")):
        if "mr_" in path.name or "millrace_" in path.name:
            result = run("groff", "-man", "-ww", "-z", "-Tutf8", path.relative_to(folder), cwd=folder)
            yield from result.stderr.splitlines()


def test_threads_page_is_up_to_date(_):
    result = run(ROOT / "scripts/threads-page", "--check")
    if result.returncode != 0:
        yield result.stdout + result.stderr


# Changes of a header, each of which its reader must name.
BREAKS = [("error.h", " * Owner: ", " * Keeper: ", "error.h: the head comment has no Owner: line"),
          ("error.h", "Threads: ", "Strings: ", "error.h: the head comment has no Threads: line"),
          ("ring.h", "/* The shard at the other end. */\n", "", "mr_ring_shard() has no comment"),
          ("ring.h", "/* The shard at the other end. */\n", "/* The shard at the other end. */\n\n", "mr_ring_shard() has no comment"),
          ("ring.h", "/* The shard at the other end. */", "/* 0: none. */", "mr_ring_shard(): the comment does not say"),
          ("ring.h", "millrace/ring.h - rings", "rings", "ring.h: the head comment does not begin")]


def test_missing_comments_are_named(package):
    for number, (name, old, new, want) in enumerate(BREAKS):
        text = (ROOT / "include/millrace" / name).read_text()
        folder = package.scratch / f"break{number}"
        folder.mkdir()
        (folder / name).write_text(text.replace(old, new))
        result = run(ROOT / "scripts/make-man", folder / "man", folder / name)
        if old not in text or result.returncode != 1 or want not in result.stderr:
            yield f"{name} without {old.strip()!r}: {result.returncode}: {result.stderr}"


def main():
    tests = [(name[5:].replace("_", " "), test) for name, test in globals().items() if name.startswith("test_")]
    print(f"1..{len(tests)}")
    status = 0
    with tempfile.TemporaryDirectory(prefix="millrace-package-") as folder:
        package = Installed(Path(folder))
        for number, (name, test) in enumerate(tests, 1):
            try:
                wrong = test(package)
                wrong = wrong if isinstance(wrong, str) else list(wrong)
            except RuntimeError as error:
                wrong = [str(error)]
            if isinstance(wrong, str):
                print(f"ok {number} - package: {name} # {wrong}")
                continue
            print(f"{'not ok' if wrong else 'ok'} {number} - package: {name}", flush=True)
            for line in "\n".join(wrong).splitlines():
                print(f"# {line}")
            status |= bool(wrong)
    return status


if __name__ == "__main__":
    sys.exit(main())
