// Boxes that were drawn and not taken yet, one for each photo. They belong to the tab and outlive its reload.

export class Drafts {
  // folder: names the output folder, since one tab may see several; changed() is told of every change.
  constructor(folder, changed) {
    this.place = `detic-crop-drafts:${folder}`;
    this.changed = changed;
    this.kept = new Map(this.read()); // id → {box, photo}; photo tells another one of the same name
  }

  get size() {
    return this.kept.size;
  }

  has(id) {
    return this.kept.has(id);
  }

  // The box drawn on a photo; null without one.
  of(row) {
    const draft = this.kept.get(row.id);
    return draft && draft.photo === row.photo ? draft.box : null;
  }

  // Whether a box was drawn on an earlier photo of this name.
  isOutdated(row) {
    return this.kept.has(row.id) && !this.of(row);
  }

  keep(row, box) {
    this.kept.delete(row.id); // the newest goes last
    this.kept.set(row.id, { box, photo: row.photo });
    this.write();
  }

  drop(id) {
    if (this.kept.delete(id)) this.write();
  }

  // The photo with a draft that follows another one, in the order in which they were drawn.
  after(id) {
    const ids = [...this.kept.keys()];
    return ids[(ids.indexOf(id) + 1) % ids.length];
  }

  read() {
    try {
      const entries = JSON.parse(sessionStorage.getItem(this.place)) || [];
      return entries.filter(([id, { box }]) => id && box.length === 4 && box.every(Number.isFinite));
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
