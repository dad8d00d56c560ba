package pipeline

// IgnoreNotes makes a Replicate emit every row of its chunks, whatever was noted while they were read: the fault that
// the windows are there to prevent.
func IgnoreNotes(cfg *ReplicateConfig) { cfg.ignoreNotes = true }

// IgnoreNumbers makes a Replicate send records without a position without a number.
func IgnoreNumbers(cfg *ReplicateConfig) { cfg.ignoreNumbers = true }
