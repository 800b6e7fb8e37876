Middleboxes clone and merge what their flows share: a clone is one cut that is kept current, by the packets that change it or by records, until it is finished; a merge takes the state away
in one step and is folded in whole, or not at all. No packet waits, reporting state is never cloned, and what was cloned before is not counted twice.
