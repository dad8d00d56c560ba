package kinesisout

// Refused says whether the stream does not answer, or takes nothing, at present: what was Put then waits with a reason.
func (w *Writer) Refused() bool { return !w.trouble.OK() }
