"""The texts that models are given: versioned YAML files with declared variables, and their loader.

    prompt = load("describe")
    prompt.render("system")
    prompt.render("user", prompt="a cat on a roof")

A file declares its `variables`. In a part, `{name}` stands for a variable's value as it is and
`{name_json}` for the value as a JSON string, which no quote, newline or chat-template token inside
the value can leave. Other braces are plain text.
"""

from prompts.loader import Prompt, load, names, quote

__all__ = ["Prompt", "load", "names", "quote"]
