"""The public headers (include/millrace/), read: scripts/exported-symbols, make-man and threads-page stand on it.

The shape that it relies on, and says where it is missing (Header.faults):

    a head comment               "millrace/ring.h - what it is for.", paragraphs, and lines "Owner: ...", "Threads: ..."
    a comment above a function   its first sentence says what the function does
    functions without a blank line between them share the comment above the first
    a comment behind a function, on its line, is a remark on that one
"""
import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "include" / "millrace"
TOPICS = ("Owner", "Threads", "Errors", "Results", "Limits", "Memory")

COMMENT = re.compile(r"/\*.*?\*/", re.S)
DIRECTIVE = re.compile(r"#(?:[^\n\\]|\\.|\\\n)*")
NAME = re.compile(r"\b(mr_\w+)\s*\(")
TOPIC = re.compile(r"(?:^|(?<=\.\s)|(?<=\.\s\s))(%s)(?: of all functions)?:\s" % "|".join(TOPICS), re.M)
IS_SECTION = re.compile(r"/\* -{8,}")


class Function:
    """`prototype` in one line, without body and marks; `remark` is what stands behind it."""

    def __init__(self, name, prototype, is_inline, line):
        self.name, self.prototype, self.is_inline, self.line = name, prototype, is_inline, line
        self.remark = ""


class Group:
    """Functions that share a comment: one page."""

    def __init__(self, text):
        self.text, self.functions = text, []

    def sentence(self):
        """What it does, for a line of a list."""
        return first_sentence(self.text)


class Header:
    def __init__(self, path):
        self.path = Path(path)
        self.name = "millrace/" + self.path.name
        self.groups, self.types, self.faults = [], [], []
        text = self.path.read_text()
        head = COMMENT.match(text)
        self.head = plain_text(head[0]) if head else ""
        self.title, self.topics, self.description = split_head(self.head)
        read_items(self, text, head.end() if head else 0)
        check(self)

    def functions(self):
        return [function for group in self.groups for function in group.functions]


# ------------------------------------------------------------------ comments

def plain_text(comment):
    """The comment without its stars; its paragraphs and indentations stay."""
    lines = comment.removeprefix("/*").removesuffix("*/").split("\n")
    lines = [lines[0].strip(), *(re.sub(r"^\s*\* ?", "", line, count=1).rstrip() for line in lines[1:])]
    if len(lines) > 1 and not comment.startswith(("/*\n", " *")):  # text begins on the first line: wrapped by the formatter
        lines = [line if line.startswith("    ") else line.strip() for line in lines]
    return "\n".join(lines).strip("\n").rstrip()


def first_sentence(text):
    flat = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=[.])\s+(?=[A-Z0-9`*-])", flat)[0].removesuffix(".").removesuffix(":")


def split_head(head):
    """Title, {topic: text}, and the other paragraphs."""
    match = re.match(r"millrace/\w+\.h - (.*?\.)(?=\s|$)", head, re.S)
    if match is None:
        return "", {}, head
    title = " ".join(match[1].removesuffix(".").split())
    topics, rest = {}, []
    for paragraph in re.split(r"\n\s*\n", head[match.end():].strip("\n")):
        if paragraph.startswith("    "):
            rest.append(paragraph)
            continue
        parts = TOPIC.split(paragraph)
        if parts[0].strip():
            rest.append(parts[0].strip())
        for topic, text in zip(parts[1::2], parts[2::2]):
            topics[topic] = (topics.get(topic, "") + " " + " ".join(text.split())).strip()
    return title, topics, "\n\n".join(rest)


# ------------------------------------------------------------------ declarations

def end_of_declaration(text, start):
    """Behind its semicolon, or behind the body of a function."""
    depth, at = 0, start
    while at < len(text):
        comment = COMMENT.match(text, at)
        if comment:
            at = comment.end()
            continue
        if text[at] == "{":
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0 and text[start:].startswith("static inline"):
                return at + 1
        elif text[at] == ";" and depth == 0:
            return at + 1
        at += 1
    return at


def as_function(source, line):
    """A Function; None: something else is declared."""
    flat = " ".join(COMMENT.sub(" ", source).split())
    is_inline = flat.startswith("static inline ")
    prototype = flat.split("{")[0].strip() if is_inline else flat.removesuffix(";")
    prototype = prototype.removeprefix("static inline ").removeprefix("MR_SWITCHPOINT ")
    name = NAME.search(prototype)
    if name is None or "(*" in prototype[:name.start()] or re.match(r"typedef|struct \w+ \{|enum \w* ?\{", prototype):
        return None
    return Function(name[1], prototype, is_inline, line)


def read_items(header, text, at):
    """Go through the declarations, each with the comment that touches it from above."""
    comment, group = "", None  # those that still touch what comes next
    last_line = None           # where the last function ended
    while at < len(text):
        gap = re.compile(r"\s*").match(text, at)
        if gap[0].count("\n") > 1:
            comment, group = "", None
        at = gap.end()
        line = text.count("\n", 0, at) + 1
        match = COMMENT.match(text, at) or DIRECTIVE.match(text, at) or re.compile(r'extern "C" \{|\}').match(text, at)
        if match is None and at < len(text):
            end = end_of_declaration(text, at)
            function = as_function(text[at:end], line)
            if function is not None:
                group = add_function(header, function, comment, group)
                last_line = text.count("\n", 0, end) + 1
            else:
                group = None
                header.types.append((comment, text[at:end]))
            comment, at = "", end
        elif match is not None:
            if match[0].startswith("/*"):
                if group is not None and line == last_line:
                    group.functions[-1].remark = plain_text(match[0])
                else:
                    comment, group = ("" if IS_SECTION.match(match[0]) else match[0]), None
            elif match[0].startswith("#define") and not re.match(r"#define \w+_H\b", match[0]):
                header.types.append((comment, match[0]))
                comment, group = "", None
            at = match.end()


def add_function(header, function, comment, group):
    if comment or group is None:
        group = Group(plain_text(comment) if comment else "")
        header.groups.append(group)
    group.functions.append(function)
    return group


def check(header):
    """What is missing for pages: a line each in `faults`."""
    if not header.title:
        header.faults.append(f'{header.name}: the head comment does not begin with "{header.name} - what it is for."')
    for topic in ("Owner", "Threads"):
        if topic not in header.topics:
            header.faults.append(f"{header.name}: the head comment has no {topic}: line")
    for group in header.groups:
        first = group.functions[0]
        if not group.text and first.remark:
            group.text, first.remark = first.remark, ""
        if not group.text:
            header.faults.append(f"{header.name}:{first.line}: {first.name}() has no comment")
        elif re.match(r"[^A-Za-z]|\w+:|any thread", group.text, re.I):
            header.faults.append(f"{header.name}:{first.line}: {first.name}(): the comment does not say what it does")


def read_all(folder=FOLDER):
    return [Header(path) for path in sorted(Path(folder).glob("*.h"))]
