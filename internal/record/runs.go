package record

import "sync"

// Where a thousand tables change in turn, what their plans read does not fit a processor's cache. So what plans have in
// common they have once, and the rest of a plan's text stands together.

// common gives one copy of a run that names nothing of the source.
func common(run []byte) []byte {
	kept, _ := commonRuns.LoadOrStore(string(run), run)
	return kept.([]byte)
}

var commonRuns sync.Map // string to []byte; as many as formats, operations and kinds of keys make

// sideBySide moves texts into one piece of memory.
func sideBySide(texts []*[]byte) {
	size := 0
	for _, t := range texts {
		size += len(*t)
	}
	all := make([]byte, 0, size)
	for _, t := range texts {
		from := len(all)
		all = append(all, *t...)
		*t = all[from:len(all):len(all)]
	}
}
