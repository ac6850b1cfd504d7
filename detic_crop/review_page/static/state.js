// What the page knows at the moment, for all its parts.

export const $ = (id) => document.getElementById(id);

export const filters = new Map(); // name → value

export const state = {
  session: null, // what api/session said
  view: null, // what api/row said: row, position, total, reviewed, next, previous
  chosen: null, // what Enter takes: {kind: "own" | "whole" | "box", boxes}
  picked: -1, // which of these boxes is picked
  adding: false, // the next box that is drawn or clicked is another animal
  edits: [], // what the boxes of this photo were before each change: {chosen, picked}
  picture: "waiting", // the photo: "waiting", "shown", or "none" where it cannot be shown
  meanwhile: null, // what another tab said of this photo while a box was in hand
  ahead: null, // the next photo, fetched early: {id, query, answer}
  visited: [], // ids before this one; "not reviewed" leaves no other way back
  given: [], // verdicts of this tab, for undo: {id, before, draft, photo}, or of the grid {page, written: [[id, seen]]}
  drafts: null, // what was begun and is not saved yet
  touched: 0, // number of boxes drawn, or picked by mouse, and of changes of a note
  asked: 0, // number of photos, pages of the grid and cards of the end that were asked for
  finished: false, // the card of the end is shown in place of the photo
  busy: false, // a verdict is on its way to the disk, or its photo is still shown
  saving: 0, // number of notes on their way to the disk
  marking: 0, // number of viewpoints on their way to the disk
  pending: 0, // number of photos that were asked for and are not here yet
  ticket: 0, // number of the photo that was asked for last
  loading: 0, // number of the pictures that were asked for last
  seen: 0, // number of changes noted
  polling: false, // the server is asked for news
  grid: false, // many crops are shown instead of one photo
  page: null, // id of the first of them
  offline: false, // the last complaint was that nobody answers
  behind: false, // something went wrong, so what is shown may be old
};
