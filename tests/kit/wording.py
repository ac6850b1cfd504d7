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
    "merge_takes_one_folder": "merge joins the shards in one folder; .*: cp -a .* && detic-crop merge ",
    "no_shards": "holds no shards; pass the --out folder of `run --shard k/N`",
    "shards_not_done": r"shards that are not done: [\d,]+ of [\d,]+.*; run them, then merge again",
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
    "crop_name_taken": "the crops of .* have the same name, .*; run the commands of all shards again",
    "damaged_journal": "the journal of shard .* is damaged; run the command of that shard again",
    "other_input": "was run with .*, unlike shard .*; run the commands of all shards again",
    "other_settings": "were made with different settings .*; make one of them again",
    "other_shard_count": "do not fit: one is of another number of shards",
    "shard_listings_differ": "the listings of the shards do not make up the input",
    "shards_not_listed": "were stopped before they listed the photos; run their commands again",
    #
    # stores
    #
    # work
    #
}
