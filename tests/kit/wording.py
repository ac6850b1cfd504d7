"""What users are told, one line a cause: the only place in the tests that pins sentences.

`code: pattern`; the pattern is looked for (`re.search`) in the sentence of every error of that code that a
test meets. Where one code has several sentences, join their patterns by ``|``. A line goes under the room
whose modules raise the code, in alphabetical order.
"""

from __future__ import annotations

WORDING: dict[str, str] = {
    # cli
    #
    # commands
    #
    # config, errors, system
    #
    # detectors
    #
    # folder
    "labels_damaged": r"is damaged; give the `detic-crop run` command again$",
    "photos_not_in_input": r"in --in .*, nothing was changed; expected the first at .*: pass the folder",
    #
    # photos
    #
    # report
    #
    # review_page
    #
    # shards
    #
    # stores
    #
    # work
    #
}
