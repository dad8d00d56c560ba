package record

import "sync"

// Where a thousand tables change in turn, what their plans read does not fit a processor's cache, and reading it takes
// longer than all else that is done for a row. So what plans have in common they have once, and the rest of a plan's text
// stands together.

// common gives one copy of a run that names nothing of the source.
func common(run []byte) []byte {
	kept, _ := commonRuns.LoadOrStore(string(run), run)
	return kept.([]byte)
}

var commonRuns sync.Map // string to []byte; as many as formats, operations and kinds of keys make

// runs puts texts side by side.
type runs struct {
	text  []byte
	spans []span
	to    []*[]byte
}

// add appends a text that *to becomes a slice of.
func (r *runs) add(to *[]byte, text func(dst []byte) []byte) {
	from := len(r.text)
	r.text = text(r.text)
	r.spans, r.to = append(r.spans, span{from: from, to: len(r.text)}), append(r.to, to)
}

// place hands the texts out.
func (r *runs) place() {
	for i, s := range r.spans {
		*r.to[i] = r.text[s.from:s.to:s.to]
	}
}
