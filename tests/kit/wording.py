"""What users are told, one line a cause: the only place in the tests that pins sentences.

`code: pattern`; the pattern is looked for (`re.search`) in the sentence of every error of that code that a
test meets. Where one code has several sentences, join their patterns by ``|``. A line goes under the room
whose modules raise the code, in alphabetical order.
"""

from __future__ import annotations

WORDING: dict[str, str] = {
    # cli
    "lite_not_pulled": (
        "lite came with this package and stays; it is a Python"
        "|lite came with this package; nothing of it is pulled or"
    ),
    #
    # app
    "app_is_running": "^another `detic-crop app` keeps its jobs in .*; use that one, or pass --state FOLDER$",
    "bad_root": "^--root must be a folder, got ",
    "bad_token": "(^--token-file .*|DETIC_CROP_APP_TOKEN) (cannot be read: |must hold 20 to 1024 printable )",
    "unwritable_state": " cannot be written: ",
    #
    # commands
    "bad_sheet_name": "^a contact sheet is saved as .png or .html, got ",
    "compared_with_itself": "expected two results, got .* twice, .*; pass another one as B$",
    "conf_below_floor": r"^--conf .* is below .*, the lowest score that model .* answers with; pass ",
    "merge_takes_one_folder": "merge joins the shards in one folder; .*: cp -a .* && detic-crop merge ",
    "model_needs_path": (
        r"^this folder was made with --model .*; pass --model and the file's path$"
        "|^this folder was made with a detector of your own, .*; pass it again, from Python$"
    ),
    "needs_detector": r"recrop cannot change .*; use `detic-crop run` for that",
    "no_audit_csv": "(does not exist|cannot be read: .*); pass the --out (folder )?of a detic-crop run",
    "no_candidates": "is gone: (nothing can be cropped|no other classes can be chosen); run `detic-crop run`",
    "no_encounters": (
        "^--by encounter: .* has no encounters; pass --by gap:30min, |^--by .*: no photo of .* has one; leave"
    ),
    "no_folder_for_report": "--report .*: there is no folder .*; make it, or pass another file$",
    "no_folder_for_out": "^--out .*: there is no folder .*; make it, or pass another --out$",
    "no_label_matches": r"^--labels: no row of .* names a photo of --in .*; pass --labels-key ",
    "no_shards": "holds no shards; pass the --out folder of `run --shard k/N`",
    "no_such_photo": "does not exist; pass the path of a photo$",
    "no_verdicts": "has no verdicts to teach from; run `detic-crop review`, .*, then teach$",
    "not_a_photo": (
        "^expected a path, a picture of Pillow or an array, got |"
        "^expected an .H, W, 3. uint8 photo, got .*; (convert it: |pass one as )"
    ),
    "not_a_report": "--report .* exists and was not written by `detic-crop verify`, so it is left as",
    "nothing_finished": "has no finished photos yet; run its .* first",
    "nothing_to_export": (
        r"^--to .*: nothing of .* is left to export \(|^--to tfrecord: all individuals are held out; "
    ),
    "nothing_to_verify_by": (
        "has neither .detic-crop/journal.jsonl nor a manifest.csv of detic-crop; pass the --out folder "
    ),
    "other_algorithm": r"was made by (an earlier|a later) version of detic-crop, .*; finish it with",
    "out_is_not_taught": "--out .* exists and was not written by `detic-crop teach`, so it is left as it is",
    "out_is_source": r"^--out is .* itself; pass another folder",
    "photos_gone": r"none of the photos is at .*; pass --in FOLDER",
    "seed_without_sample": "--seed belongs to --sample; pass --sample N, too",
    "setting_not_accepted": r"is recorded by a run, and cannot be passed; ",
    "shard_of_merged_folder": r"was merged before, and a single shard cannot start over; pass another --out",
    "shards_not_done": r"shards that are not done: [\d,]+ of [\d,]+.*; run them, then merge again",
    "test_is_train": "^--test .* is the folder of the part train itself, .*; pass another$",
    "too_few_lessons": "^expected at least 5 photos of .*, got .*; (review more|see to those), then teach$",
    "unknown_setting": r"^unexpected settings? '.*(; did you mean \w+\?|; known are .*)$",
    "verdicts_wait": r"^[\d,]+ verdicts? waits? to be applied, .*; run: detic-crop apply ",
    "verdicts_would_be_lost": r"--overwrite would remove the verdicts in .*; add --discard-review",
    #
    # config, errors, system
    "bad_value": "^--[a-z-]+ must be .*, got ",
    "no_path": "^the output folder must be a path that a disk can have, got .*; pass another$",
    "other_version": "was made by another version of detic-crop .*; use that version or another --out$",
    "option_not_applicable": (
        "--ray-address goes with --executor ray only; add that, or"
        "|^--max-animals goes with --animals all only; add that, or"
        "|^--gps goes with --metadata .* or with --exif keep .*; add one of them"
        "|goes with --model (boxes|onnx):FILE only, not with your own detector"
        "|goes with .* only, not with .*; leave it out$"
        "|^recrop has no dry run and no shards|^recrop needs no detector"
        r"|goes with --vocabulary FILE\.npy or checkpoint, got"
        "|^--labels-key .* needs --labels; the labels that .* has kept name their photos in the column"
        "|^--[a-z]+ .* does not apply to --to .*; leave it out$"
        "|^--(classes|conf) .* goes with boxes files, and both A and B are output folders; leave it out$"
        "|^--no-labels and --labels exclude each other; leave one out$"
        "|^--tiles auto goes with models that look at the photo, not with .*; leave it out, or join another"
    ),
    #
    # exports
    "count_in_path": "^--out .*: readers take the first -NUMBER. in a path .*; pass a folder whose ",
    "empty_files": (
        "^--to tfrecord: there are too few .* files, .*; (pass --files|export more photos|run the `run`)"
    ),
    "foreign_partial": "was not made by detic-crop, which makes --out .* there first; move it away$",
    "label_of_candidates": "^--label .* names the class of the chosen boxes, .*; leave one of them out$",
    "no_class": "needs a class for each picture, and .*; pass --label=folder to take the photos' folders$",
    "no_individual": "needs an individual for each picture, .*; pass --individual COLUMN(,|$)",
    "not_a_multiple": "^--files .*: expected a multiple of .*; pass ",
    "not_for_kaggle": "--(title|user|licence): expected .*, got .*; pass ",
    "no_such_export": "^--to .*: expected one of ",
    "no_tfrecord": r"^--to tfrecord needs google-crc32c, .*; pip install 'detic-crop\[tfrecord\]'$",
    "out_not_apart": "^--out .* lies in the folder of .*; pass a folder outside$",
    "out_not_empty": "^--out .* is there already, .*; pass another, or remove it first$",
    #
    # detectors
    "bad_address": " is not an address: ",
    "bad_joined_model": "^--model must join different models as in A[+]B, .*, got .* in '",
    "certificate_not_trusted": "^could not download .*: its certificate is not trusted .*, set SSL_CERT_FILE",
    "download_failed": "^could not download .*: ",
    "not_the_file": (
        "answers with a web page instead of |offers .* bytes, expected .*: it is another file"
        "|^what came as .*; it was removed again: "
        "|sends more than the .* bytes of .*: it is another file; nothing of it is kept, "
    ),
    "missing_device": (
        "^--device .* is not on this machine; it has |^--device mps does not run detectron2; "
        "|^--device .* does not run ONNX files here: onnxruntime .*; pass --device cpu, or "
    ),
    "no_onnx_path": "^expected an ONNX file after onnx:, got nothing; write onnx:FILE$",
    "unknown_onnx_head": "; it has the inputs .* and the outputs .*; export a detector of a kind that docs/",
    "unusable_onnx_file": (
        "^.*: expected (an ONNX file|at most 2 GB in one file|one input for a picture|no input beside), got "
        "|^.*: expected .*, got .*(damaged, cut off or of another kind|without a graph of operators)"
        r"|^.*: expected .*, got \w+ \w+\["
        "|^.*: its weights are said to be in .*, outside of its folder; export it again$"
        "|^.*: it has operators that onnxruntime does not know .*; (export it without them$|they are Tensor)"
        "|^.*: onnxruntime is too old for it .*: pip install -U onnxruntime, or export it"
        "|^.*: onnxruntime cannot load it .*; export it again$"
        "|^.*: it cannot be run on a picture of .*; pass another size with --detector-size, "
    ),
    "unknown_model": ("--(model|detector) must be |expected a Detic model, one of"),
    "no_taught_path": "^expected a file of `detic-crop teach` after lite:, got nothing; write lite:FILE$",
    "not_taught": "^expected a file that `detic-crop teach` wrote, got .*, which it did not write; pass the",
    "other_base": "was taught on other weights of lite .* than are installed here; run `detic-crop teach`",
    "other_taught_format": r"was written by another version of detic-crop \(format .*; use that version, or",
    "taught_not_written": "^cannot write .*; pass another --out$",
    "no_hf_folder": (
        "^--model hf:.*: (there is no such folder"
        "|expected a folder (that save_pretrained wrote|or OWNER/NAME, got))"
    ),
    "no_hf_path": "^expected a folder or OWNER/NAME of the hub after hf:, got nothing; write hf:FOLDER$",
    "unusable_hf_model": (
        "^transformers cannot read the .* of .*: .*; get the folder again, or save it with this version"
        "|, which is no object detector that this version of transformers or detic-crop knows; pass "
        "|: its image processor, .*, makes no boxes; pass "
        "|has no tokenizer .*, without which the words to look for cannot be read; save it into the folder"
        "|^hf:.* has no config.json, so it is no model of transformers; its files: .*; pull another one$"
    ),
    "no_boxes_path": "expected a boxes file or folder after boxes:, got",
    "not_a_detector": r"expected a detector with info \(a DetectorInfo\) and",
    "missing_boxes": "got nothing there; check the path",
    "unreadable_boxes": "expected readable boxes, got",
    "bad_boxes_file": "^boxes (file|folder) .*: ",
    "boxes_match_no_photo": r" in .* \(its first entry is .*, the first photo .*\); ",
    "gated_model": "^hf:.* is given only to people who accepted its terms: do that at .*, then log in with",
    "unknown_weights": "there are no weights named",
    "unusable_detectron2_config": (
        "is not a detector on its own"
        r"|expected MODEL\.WEIGHTS of a trained detector, got"
        "|expected instances with"
        "|expected boxes of 4 numbers, got shape"
        r"|\); write all values out with cfg\.dump\(\), as detectron2's"
    ),
    "missing_weights": (
        "check the network, or put the checkpoint on this machine"
        "|is not installed: .* lacks .*; run `detic-crop weights pull "
        "|got nothing there; check the path"
        "|which is not here"
        "|which is not installed; pip install"
        "|Run the same command once where there is a network and"
        "|^hf:.* is neither a folder here nor pulled; run `detic-crop weights pull hf:"
        "|^hf:.* is not pulled: here is .*; run `detic-crop weights pull hf:.*, which takes its place$"
        r"|has (its weights as a pickle only .*|no model\.safetensors).*save_pretrained"
        r"|lacks .*, which model\.safetensors\.index\.json names; copy it there, too$"
    ),
    "unknown_detectron2_config": (
        "detectron2 publishes no checkpoint for|configs are not supported|there is no such file"
    ),
    "missing_extra": (
        "needs (CLIP's text encoder, and open_clip|(XlsxWriter|openpyxl), which cannot be imported)"
        "|needs .*, which is not installed|need a package that is not installed: "
        "|detectron2 is installed but cannot be imported"
    ),
    "weights_do_not_fit": (
        "expected a (dict with tensors|state dict, alone or) under 'model', as the"
        r"|\. Is it another model's file\?"
        "|the weights do not fit|^the weights of lite do not fit .*; take weights"
    ),
    "damaged_weights": (
        "is damaged or (holds more than tensors|incomplete)|is not a complete safetensors file"
        "|is not a weights file of lite: |has sha256 .*, expected .*; install detic-crop again"
        "|; pip install --force-reinstall|; get it again: `detic-crop weights"
        "| cannot be used: it .*; get it again$| is damaged: its tensors claim more than its own bytes; "
        r"| is damaged \(.*\); copy it again, or teach again$"
    ),
    "bad_embeddings": (
        "class names, got an array of shape"
        "|expected finite class embeddings, got NaN or infinity"
        r"|expected a \.npy file, got something else"
        "|the other way round; save its transpose"
        "|got shape"
        "|finite and not zero; row"
        "|is cut off or no plain array"
        r"|is this open_clip_torch\?"
    ),
    "bad_names": (
        "expected at least one class name, got none"
        "|expected a name on each line, got an empty file"
        "|expected a class name, got an empty line; rows and names"
        r"|--classes separates names by commas, so keep one, e\.g\."
        "|means a box without a class, which is always wanted"
        "|expected UTF-8 text, got something else; save it as UTF-8"
    ),
    "no_classifier": "this checkpoint has no classifier of its own; pass",
    "names_do_not_fit": (
        "pass the names it was trained with( as --names TXT$)?" r"|names for --vocabulary checkpoint \(or"
    ),
    "bad_vocabulary": (
        r"expected a \.npy file of shape \(classes"
        "|: expected at most .* tokens in .*, got .*; take fewer or shorter words$"
    ),
    "names_needed": (
        r"has no names; add --names FILE\.txt with one name on each"
        r"|--vocabulary checkpoint needs --names FILE\.txt with one"
    ),
    "unknown_vocabulary": (
        r"a \.npy file, or words joined by commas"
        r"|checkpoint, a \.npy file, or words joined by commas, got"
        "|there is no vocabulary"
        "|^--vocabulary .*: a zero-shot model of hf: is asked with words joined by commas"
    ),
    "unreadable_weights": "^cannot read .*; ",
    "unreadable_vocabulary": "cannot read --vocabulary",
    "unreadable_names": "cannot read --names",
    "unknown_class": "^model .* has no class .*; close or known names: .*; or pass --classes any",
    "ambiguous_weights": "stands for several",
    "bad_weights_folder": "must be a folder, got the file",
    "damaged_download": "and checked again by the next pull, `detic-crop weights rm",
    #
    # folder
    "address_as_path": "looks like the address of a store, .*; pass s3://BUCKET/FOLDER",
    "already_in_folder": r"^--add: .* is in .* already, as .*; pass --in .* again to continue with it$",
    "cannot_read_output": "cannot be read: .*(nothing was changed|what was finished is kept)|; pass another$",
    "cannot_write": (
        "cannot write .*; (what was finished is kept|nothing of the .* is left): correct that.* and run"
        "|cannot write .*; .*, or set DETIC_CROP_WEIGHTS_DIR to a folder that you can write"
    ),
    "disk_full": (
        "the disk of .* is full(; (what was finished is kept|nothing of the .* is left): |: .*; )free"
    ),
    "foreign_folder": "is not empty and was not made by detic-crop; pass a new folder, nothing was changed",
    "foreign_tar": r"\.tar in --out was not made by this run; move it, nothing was changed",
    "in_use": r"(is at work|is writing to .*) \(process .* on .*, since .*\); wait for it, stop it, or pass"
    r"|^another (export|compare) is at work on .*; wait for it to end$",
    "foreign_table": (
        "was not made by detic-crop, which writes a file of that name; move it away or pass another --out, "
        "nothing was changed$"
    ),
    "folder_replaced": (
        "was renamed, replaced or removed while this command was at work in it, or its lock was: nothing "
        "more is written, .*; put that back or pass its new path, then run the same command again$"
    ),
    "folds_damaged": r"folds\.json is damaged \(.*\); split again: detic-crop split ",
    "labels_damaged": r"is damaged; run the `detic-crop run` command again with --labels FILE, or ",
    "link_in_output": "is a link; inside --out .* none is followed, .*: remove the link",
    "link_outside": "is a link that leads out of --out .*; nothing is written there: remove the link",
    "listing_damaged": r"is damaged; delete it and run the `detic-crop run` command again$",
    "merge_cut_off": "a merge of .* was cut off; first run: detic-crop merge ",
    "needs_disk": "needs the folder on a disk: copy .* here first|^teach needs --out on a disk, got ",
    "no_locks": "is on a file system without locks; copy the folder$",
    "no_run": "(has no .*journal.jsonl\\)|does not exist); pass the --out folder of a detic-crop run",
    "not_a_file": "is not a file; remove it, then run the same command again",
    "not_merged": "holds .* that are not merged yet; run: detic-crop merge ",
    "other_photos": r"has the photos of .*, not those of .*; (pass another --out|first run: detic-crop merge)"
    r"|has the photos of .* pass --add to add them",
    "other_shards_tar": "is in a tar file that this shard did not make; run the command without --shard",
    "other_writer": "another run writes to .* is not what this one wrote; what was finished is kept",
    "out_is_file": "is an? (object|file); pass ",
    "out_is_input": "--(in|out) .*(same folder as|or lies inside).*; pass another --out, your photos stay",
    "out_not_writable": (
        "cannot be written to; pass s3://BUCKET/FOLDER|^(export|compare) writes to a disk, got --out "
    ),
    "outside_output": "lies outside of --out .*; nothing is changed there",
    "no_working_folder": "the folder in which this command was started is gone, .*; change to a folder",
    "path_too_long": r"… is too long for the disk \(.*\); pass a shorter one",
    "photos_in_output": "photos of --in lie .*inside --out .*; pass another --out, your photos stay",
    "photos_not_in_input": r"in --in .*, nothing was changed; expected the first at .*: pass the folder",
    "review_in_use": r"review\.csv is being written by another process for 10 s; try again$",
    "review_not_saved": r"^cannot write .*review\.csv: ",
    "same_name_other_photo": r"has the photos of .*, and .* is another photo of that name; pass another",
    "same_name_twice": r"is a photo of .* and one of .*, and one --out has each name once",
    "same_photos_other_names": r"names them otherwise \(.* there\), so they would be in it twice; pass --in",
    "sample_damaged": r"is damaged \(.*\); draw again: detic-crop audit .* --sample 200$",
    "segment_missing": "a part of .* is (missing|there twice): expected one that begins at byte",
    "strange_state": "is not a (file|folder), and was not made|where a table belongs|that is not a lock",
    #
    # photos
    "large_range": r"names more than [\d,]+ tar files; write a smaller range, or a pattern with \*$",
    "backward_range": r"\{\d+\.\.\d+\} runs backwards; write the smaller number first$",
    "compressed_input": "^--in .* is compressed; unpack it, or make a plain .tar of it",
    "empty_output": "^the output folder has an empty name; pass a folder, e.g. cropped$",
    "empty_input": "^--in is empty; pass a folder, a photo, ",
    "kept_labels_match_none": "^no row of the labels of the earlier run names a photo of --in .*; pass --l",
    "label_fits_several": r"^--labels: .* fits \d+ photos \(.+\); use relative paths in the key column$",
    "labels_fit_one": "^--labels: .* and .* both fit the photo .*; use paths relative to --in ",
    "labels_no_column": "^--labels .* has no column .*; it has .*; pass --labels-key ",
    "labels_not_csv": "^--labels .* is not a CSV table: it has a row that cannot be split at line ",
    "labels_not_table": "^--labels .* is (an? .*|XML|JSON); .*(save|pass|export|opened)",
    "labels_not_utf8": (
        r"^--labels .* (is neither UTF-8 nor UTF-16 nor Windows-1252 \(byte \d+\)"
        r"|has NUL bytes, as UTF-16 without its mark has); save it as UTF-8"
    ),
    "labels_not_workbook": r"^--labels .* is an Excel workbook that cannot be read \(.+\); save it as CSV",
    "labels_unclear_column": r"^--labels .* has \d columns that may be .* \(.+\) and differ; rename all but",
    "labels_unclear_separator": r"^--labels .* has no column .*, and may be separated by .* or separated by ",
    "labels_unclear_sheet": r"^--labels .* has a column .* on \d sheets \(.+\); leave one of them, or save",
    "labels_uneven_row": (
        r"^--labels .*: (row|line) \d+ has \d+ cells, the header \d+ \(.+\); "
        "(a cell with the separator in it, .* needs quotes|.* stands under no name: .* empty the cell)$"
    ),
    "labels_unreadable": "^--labels .* cannot be read: .+; pass a CSV file or an Excel workbook$",
    "labels_without_rows": "^--labels .* has a header but no rows$",
    "missing_input": "^--in .* does not exist.*; pass (a folder, a photo, a glob, a list|tar files that do)",
    "missing_file": "^expected .*, found none|which has changed since it was listed; run the command again$",
    "no_bucket": "^--in .* names no bucket; pass s3://BUCKET/FOLDER$",
    "no_photo_column": "^--in .* has the columns .*; expected one of path, file, filename, ",
    "no_photos": r"^--in .* holds no photos( \(\d+ other files?\))?; .*photos are files ending in \.jpg",
    "no_ranges": "^--in .* cannot be read in parts, because the server sends only whole files; download it",
    "not_a_tar": "^--in .* is not a plain tar file .*; make it with tar -cf, without compression$",
    "not_csv": "^--in .* is not a CSV table: ",
    "not_photos": "^--in .* (has no photos|is not a list that|is a video|is not a photo)[^;]*; ",
    "table_of_run": "is the table of an earlier run, .*; pass its photos, .* or run: detic-crop recrop ",
    "too_many_pixels": "^expected (a file of )?at most [0-9,]+ (bytes|pixels), got .*; raise --max-pixels if",
    "unclear_folder": "its photos are in .* and in .*; say which: --in .* --labels ",
    "unreadable_input": "^--in .* cannot be (read|listed): ",
    "web_pattern": "^--in .*: the web has no patterns; pass a .txt list of addresses$",
    "not_utf8": "is not text; save it as UTF-8",
    #
    # report
    "bad_margin": r"--margin must be 0\.5 to 50 percentage points, got \S+; pass e\.g\. 3$",
    "no_common_photos": (
        "^expected .*, got (no photo|none of them).*; pass |^--in has none of the photos of [AB]: .*; pass "
    ),
    "no_crop_for_margin": "--margin is about the share of right crops, and there is no crop yet$",
    "no_such_column": (
        "^--.* needs a label table with a column .*, and this folder has no labels; pass --labels CSV"
        "|^--label .* needs a label table with .*, and neither A nor B is a folder with labels; pass --labels"
        "|^--.*: the label table has (no column|several columns) .*; it has "
    ),
    "nobody_to_hold_out": "^--unseen .* holds individuals out, and no label names one; pass --individual",
    "nothing_to_compare": (
        "^expected photos that both A and B have looked at, got none of .*; pass results for the same photos$"
        "|^expected the truth of photos that both A and B have .*, got .*; pass the truth of these photos, or"
    ),
    "nothing_to_sample": "no photo is cropped or resized yet; run the `run` command first",
    "nothing_to_split": "has no crops to split; pass the --out of a finished run$",
    "sample_too_small": r"--sample .* is too few to tell anything; pass \d+ or more",
    "too_few_groups": r"^--folds \d+ needs as many groups of photos, .*; pass a smaller --folds$",
    "workbook_too_large": "a worksheet holds .* rows and .* columns, the table has .*; leave --xlsx out",
    #
    # review_page
    "blind_without_sample": (
        "--blind is for a random sample, and .* has none; draw one first: detic-crop audit .* --sample 200$"
    ),
    "host_unusable": "--host .* is not an address of this machine: ",
    "port_unusable": "--host .* --port .* cannot be used: .*; pass --port 0",
    "same_reviewer": "--blind is for a second person, and .*; pass another name with --reviewer$",
    #
    # shards
    "bad_shard": "^--shard( auto)?(:| must be k/N)",
    "crop_name_taken": "the crops of .* have the same name, .*; run the commands of all shards again",
    "damaged_journal": "the journal of shard .* is damaged; run the command of that shard again",
    "journal_changed": "was changed while it was read; run the same command again",
    "other_input": "was run with .*, unlike shard .*; run the commands of all shards again",
    "other_settings": "were made with different settings .*; make one of them again"
    "|was made with other settings .*; pass the same settings to go on, (or )?another --out",
    "other_shard_count": "do not fit: one is of another number of shards"
    "|so shard .* does not fit; pass --shard k/",
    "shard_listings_differ": "the listings of the shards do not make up the input",
    "shards_not_listed": "were stopped before they listed the photos; run their commands again",
    #
    # stores
    "unknown_scheme": "is not a known kind of address; expected s3://, gs://, https://$",
    "unusable_store": r"^\w+:// cannot be used here",
    #
    # work
    "broken_detector": r"failed on \d+ photos in a row, the last time with ",
    "classes_not_kept": "^--classes .*: this run looked for .* only; ",
    "conf_below_kept": "^--conf .* is below .*, the lowest score this run kept; pass .* or more",
    "head_lost": "^the head of the Ray cluster at .* does not answer any more; ",
    "no_gpu": "has no GPU; pass --device auto or cpu$",
    "no_ray_cluster": "does not answer; expected auto, local or HOST:PORT of a head$|cannot be used: ",
    "photos_not_on_node": "does not see .*, which is on this machine; put the photos on a disk that every",
    "ray_client": "is Ray's client, which cannot write crops here; run the command on a node",
    "single_device_on_ray": "cannot go with --executor ray, .*; pass auto, cpu or cuda$",
    "worker_died": r"the process of .* died \(exit code .*; out of memory\?\); what was finished is kept: ",
    "workers_die": (
        "workers in a row died before they could look at a photo|fix that and run the command again"
    ),
    "ray_initialised": "Ray is initialised (in this process already; omit|already in this process; leave)",
    "ray_failed": "what was finished is kept",
    "other_version_on_node": (
        "a node of the Ray cluster has no detic-crop; install the|install the same version on every node"
    ),
    "other_weights": "than this machine; pull the same ones on every node",
    "detector_not_sendable": "--executor ray needs one that pickle can write",
    "no_nodes": "s; what was finished is kept: run the command again",
    #
}
