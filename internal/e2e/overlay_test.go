package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// edit replaces a text in a source file of the program under test. The file stays as it is: the program is built with an
// overlay, so nothing in the product knows of it.
type edit struct{ file, old, new string }

// Variants of the program that schedules of seconds need.
var (
	// hasty does within seconds what is given more time in the field: the longest pauses between attempts.
	hasty = []edit{
		{"internal/s3sink/commit.go", "Longest: 20 * time.Second", "Longest: time.Second"},
		{"internal/kinesisin/stream.go", "Longest: 20 * time.Second", "Longest: time.Second"},
		{"internal/kinesisin/api.go", "cmp.Or(c.PollInterval, time.Second)", "cmp.Or(c.PollInterval, 50*time.Millisecond)"},
		{"internal/kinesisout/backoff.go", "Longest: 5 * time.Second", "Longest: time.Second"},
		{"internal/binlog/reader.go", "First: 500 * time.Millisecond, Longest: 30 * time.Second", "First: 100 * time.Millisecond, Longest: time.Second"},
		{"internal/pipeline/deliver_store.go", "longestPause = 20 * time.Second", "longestPause = time.Second"},
		{"internal/pipeline/deliver_docs.go", "const longest = 10 * time.Second", "const longest = time.Second"},
	}
	// smallWindow lets the span and the window of de-duplication be reached.
	smallWindow = []edit{
		{"internal/checkpoint/tracker.go", "const Span = 65536", "const Span = 64"},
		{"internal/dedupe/filter.go", "const Window = 65536", "const Window = 64"},
	}
	// smallRecords makes records oversized that are larger than 2,000 bytes.
	smallRecords = []edit{
		{"internal/kinesisout/run.go", "	if w.cfg.MaxRecordBytes > 0 {", "	limit = 2000\n	if w.cfg.MaxRecordBytes > 0 {"},
	}
	// unlocked gives the lock, and the leases of all shards, to everybody: several processes work at once, as when one of
	// them does not know yet that it should be dead. Nothing that is promised may depend on locks or leases.
	unlocked = []edit{
		{"internal/pipeline/standby.go", "t.store.Lock(ctx, t.name)", `t.store.Lock(ctx, fmt.Sprint(t.name, "/", time.Now().UnixNano()))`},
		{"internal/pipeline/deliver.go", "lease.StreamID(account, about.Name, about.Created)", `lease.StreamID(account, fmt.Sprint(about.Name, "-", time.Now().UnixNano()), about.Created)`},
	}
)

// overlay writes the files that a build is to see in place of the source's, and gives what to pass to -overlay.
func overlay(dir string, edits []edit) (string, error) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return "", err
	}
	texts := map[string]string{}
	for _, e := range edits {
		text, ok := texts[e.file]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return "", err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return "", fmt.Errorf("%s has %d times what is to be replaced, which is %q: the code has changed, so change the edit", e.file, n, e.old)
		}
		texts[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	replaced := map[string]string{}
	for file, text := range texts {
		path := filepath.Join(dir, strings.ReplaceAll(file, "/", "-"))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", err
		}
		replaced[filepath.Join(root, file)] = path
	}
	list, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, list, 0o600)
}

var variants struct {
	sync.Mutex // covers built
	built      map[string]func() (string, error)
}

// variant builds the program with edits, each set of them once.
func variant(name string, race bool, edits []edit) func() (string, error) {
	variants.Lock()
	defer variants.Unlock()
	key := fmt.Sprint(name, race)
	if f := variants.built[key]; f != nil {
		return f
	}
	if variants.built == nil {
		variants.built = map[string]func() (string, error){}
	}
	f := sync.OnceValues(func() (string, error) {
		dir, err := builds()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(dir, key)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return "", err
		}
		list, err := overlay(dir, edits)
		if err != nil {
			return "", err
		}
		flags := []string{"-overlay", list}
		if race {
			flags = append(flags, "-race")
		}
		return build(filepath.Join(key, "binlogstreamer"), flags...)
	})
	variants.built[key] = f
	return f
}
