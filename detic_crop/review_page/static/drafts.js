// What was begun on photos and is not saved yet: boxes that were drawn and not taken, and notes. It belongs to
// the tab and outlives its reload.

export class Drafts {
  // folder: names the output folder, since one tab may see several; changed() is told of every change.
  constructor(folder, changed) {
    this.place = `detic-crop-drafts:${folder}`;
    this.changed = changed;
    // id → {boxes, note, photo}, of which the first two may be null; photo tells another one of the same name
    this.kept = new Map(this.read());
  }

  get size() {
    return this.kept.size;
  }

  has(id) {
    return this.kept.has(id);
  }

  // The boxes drawn on a photo; null without any.
  of(row) {
    const draft = this.kept.get(row.id);
    return draft && draft.photo === row.photo ? draft.boxes : null;
  }

  // The note that is being written, {text, before}; null without one.
  noteOf(row) {
    const draft = this.kept.get(row.id);
    return draft ? draft.note : null;
  }

  // Whether boxes were drawn on an earlier photo of this name.
  isOutdated(row) {
    const draft = this.kept.get(row.id);
    return Boolean(draft && draft.boxes) && !this.of(row);
  }

  keep(row, boxes) {
    this.put(row, { boxes, note: this.noteOf(row) });
  }

  keepNote(row, note) {
    this.put(row, { boxes: this.of(row), note });
  }

  put(row, draft) {
    this.kept.delete(row.id); // the newest goes last
    if (draft.boxes || draft.note) this.kept.set(row.id, { ...draft, photo: row.photo });
    this.write();
  }

  // Drop the boxes; a note stays.
  drop(id) {
    this.remove(id, "boxes");
  }

  dropNote(id) {
    this.remove(id, "note");
  }

  // Drop all that was begun on a photo.
  forget(id) {
    if (this.kept.delete(id)) this.write();
  }

  remove(id, name) {
    const draft = this.kept.get(id);
    if (!draft || !draft[name]) return;
    draft[name] = null;
    if (!draft.boxes && !draft.note) this.kept.delete(id);
    this.write();
  }

  // The photo with a draft that follows another one, in the order in which they were drawn.
  after(id) {
    const ids = [...this.kept.keys()];
    return ids[(ids.indexOf(id) + 1) % ids.length];
  }

  read() {
    try {
      return (JSON.parse(sessionStorage.getItem(this.place)) || []).filter(isDraft);
    } catch {
      return []; // none, not ours, or a browser that keeps nothing
    }
  }

  write() {
    try {
      sessionStorage.setItem(this.place, JSON.stringify([...this.kept]));
    } catch {
      // They still live as long as the page does.
    }
    this.changed();
  }
}

function isDraft([id, { boxes, note }]) {
  const isBox = (box) => box.length === 4 && box.every(Number.isFinite);
  const isNote = note && typeof note.text === "string" && typeof note.before === "string";
  return id && (boxes || note) && (!boxes || (boxes.length > 0 && boxes.every(isBox))) && (!note || isNote);
}
