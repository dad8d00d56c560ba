package pipeline

import (
	"fmt"
	"strings"
	"time"
)

// Summary is what Replicate does at present, in a few words.
func (r *Replicate) Summary() string {
	s := r.session.Load()
	switch {
	case r.StandsBy():
		return "standing by, another process replicates"
	case r.Paused():
		return "paused until somebody resumes it"
	case s == nil:
		return "reaching the source"
	case !r.Ready():
		return "reaching source and stream"
	}
	var words []string
	switch left := s.progress.toLoad(); left {
	case 0:
		words = append(words, "following the log")
	case 1:
		words = append(words, "loading 1 table")
	default:
		words = append(words, fmt.Sprintf("loading %d tables", left))
	}
	words = append(words, fmt.Sprintf("%s behind the source", seconds(max(r.metrics.sourceLag(), r.metrics.targetLag()))))
	if n, _ := s.progress.suspended(); len(n) > 0 {
		words = append(words, fmt.Sprintf("%d suspended", len(n)))
	}
	if s.writer.Refused() {
		words = append(words, "the stream does not take what is sent")
	}
	return strings.Join(words, ", ")
}

// Summary is what Deliver does at present, in a few words.
func (d *Deliver) Summary() string {
	if d.StandsBy() {
		return "standing by, another process delivers"
	}
	if d.Paused() {
		return "paused until somebody resumes it"
	}
	if !d.started.Load() {
		return "reaching stream and destination"
	}
	s := d.Status()
	words := fmt.Sprintf("%d shards", len(s.Shards))
	if len(s.Shards) == 1 {
		words = "1 shard"
	}
	if s.Freshness == 0 {
		words += ", everything stored"
	} else {
		words += ", oldest record not stored " + seconds(s.Freshness) + " old"
	}
	if len(s.Trouble) > 0 {
		words += ", failing: " + s.Trouble[0]
	}
	return words
}

func seconds(d time.Duration) string { return d.Round(time.Second).String() }

// toLoad is how many tables are still to be loaded.
func (p *progress) toLoad() (n int) {
	for _, d := range p.shown() {
		if !d.loaded() {
			n++
		}
	}
	return n
}
