package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// mutant names the rule that the program under test is to lack; "": none.
var mutant = os.Getenv("BINLOGSTREAMER_MUTANT")

// rule is something that correctness depends on, and how to take it out of the program.
type rule struct {
	name   string // for the environment
	what   string
	edits  []edit
	shapes []int  // of the schedules that should miss it
	focus  string // and the half that they disturb
	test   string // what is run instead of schedules, of the package in
	in     string // a package, below the module; "": this one
}

// mutants are the rules that docs/why/order-per-key.md, numbers-without-positions.md, objects-created-once.md and objects-of-one-run.md
// say cannot be left out.
var mutants = []rule{
	{name: "key", what: "a request holds one record of a key", shapes: []int{1, 4, 7}, focus: "replicate",
		edits: []edit{{"internal/kinesisout/queue.go", "case before != nil:", "case before != nil && before == it:"}}},
	{name: "span", what: "the span holds over all lanes", shapes: []int{0, 3, 6, 7}, focus: "replicate",
		edits: []edit{{"internal/pipeline/replicate.go", "(checkpoint.Span, start,", "(64*checkpoint.Span, start,"}}},
	{name: "term", what: "what comes from a lower term is dropped", shapes: []int{0, 5, 7},
		edits: []edit{{"internal/dedupe/filter.go", "if m.Term < f.term {", "if m.Term < f.term && f.window == 0 {"}}},
	{name: "number", what: "a load or control record whose number was seen is dropped", shapes: []int{0, 2, 7}, focus: "replicate",
		edits: []edit{{"internal/dedupe/filter.go", "case !m.Placed && m.Sequence != 0:", "case !m.Placed && m.Sequence != 0 && f.window == 0:"}}},
	{name: "fence", what: "a record of the own term stands in every shard before the first chunk is read", test: "^TestLoadBesideAZombie$",
		edits: []edit{{"internal/pipeline/replicate.go", "	if s.emitter.term > 0 {\n		if err := s.emitter.fence(", "	if s.emitter.term > 1<<62 {\n		if err := s.emitter.fence("}}},
	{name: "create", what: "objects are created, never overwritten", shapes: []int{0, 5, 7}, focus: "deliver",
		edits: []edit{{"internal/s3sink/s3.go", `IfNoneMatch:   aws.String("*"),`, `IfNoneMatch:   map[bool]*string{true: aws.String("*")}[o.Meta == (Meta{})],`}}},
	{name: "adopt", what: "an object that is there already is adopted", shapes: []int{0, 5, 7}, focus: "deliver",
		edits: []edit{{"internal/s3sink/commit.go", "		stored = Stored{found.Last, found.Parts}\n		return found.continues(", "		return found.continues("}}},
	{name: "group", what: "the first object of a run settles where the run ends", test: "^TestDeliverChaos$", in: "internal/pipeline",
		edits: []edit{{"internal/pipeline/deliver_store.go", "switch order := s3sink.CompareSequence(first.Last, last); {",
			"order := s3sink.CompareSequence(first.Last, last)\n		if len(groups) > 1 {\n			order = 0\n		}\n		switch {"},
			// and nobody refuses to go on behind an object that ends elsewhere
			{"internal/s3sink/commit.go", "if same && m.Last == want.Last && m.Part == want.Part && m.Parts == want.Parts {", "if same {"}}},
}

// mutation is the rule that BINLOGSTREAMER_MUTANT names.
func mutation() *rule {
	i := slices.IndexFunc(mutants, func(r rule) bool { return r.name == mutant })
	if i < 0 {
		return &rule{}
	}
	return &mutants[i]
}

// TestMutantsAreOfThisProgram makes sure that what the mutants and the variants replace is in the source, once.
func TestMutantsAreOfThisProgram(t *testing.T) {
	for name, edits := range map[string][]edit{"hasty": hasty, "small window": smallWindow, "small records": smallRecords, "unlocked": unlocked, "never loads": neverLoads} {
		if _, err := overlay(t.TempDir(), edits); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, r := range mutants {
		if _, err := overlay(t.TempDir(), r.edits); err != nil {
			t.Errorf("%s: %v", r.name, err)
		}
	}
}

// verdict is what a failure must say to count: something stored is wrong, and not just a process or a server unwell.
var verdict = regexp.MustCompile(`went backwards|records missing, |were stored twice|objects overlap|: \d+ faults in \d+ rows|is stored \d+ times|comes after`)

// seedIn finds the seed in the name of a schedule, and in what TestDeliverChaos says.
var seedIn = regexp.MustCompile(`(?m)^=== (?:NAME|RUN|CONT).*seed_(\d+)$|: seed (\d+)$`)

// seedBefore is the seed of the schedule that says why, which stands in front of it, or behind it in TestDeliverChaos.
func seedBefore(out, why string) (seed string) {
	at := strings.Index(out, why)
	for _, m := range seedIn.FindAllStringSubmatchIndex(out, -1) {
		if m[0] > at && seed != "" {
			break
		}
		if m[2] >= 0 {
			seed = out[m[2]:m[3]]
		} else {
			seed = out[m[4]:m[5]]
		}
	}
	return seed
}

// TestMutants takes one rule after another out of the program and runs schedules until one fails.
// BINLOGSTREAMER_MUTANTS bounds their number for each rule; without it nothing is done, since it takes many minutes.
func TestMutants(t *testing.T) {
	bound := testservers.Setting(t, "BINLOGSTREAMER_MUTANTS", 0)
	if bound == 0 {
		t.Skip("make mutants runs it")
	}
	only := os.Getenv("BINLOGSTREAMER_MUTANT")
	for _, r := range mutants {
		if only != "" && only != r.name {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			begun := time.Now()
			out, err := r.run(t, bound)
			if err == nil {
				t.Fatalf("nobody misses that %s, in up to %d schedules", r.what, bound)
			}
			why := verdict.FindString(out)
			if why == "" {
				t.Fatalf("without the rule that %s it fails, but not for what is stored:\n%s", r.what, withoutNoise(out))
			}
			caught := "in its only schedule"
			if seed := seedBefore(out, why); seed != "" {
				caught = fmt.Sprintf("by seed %s, after %d schedules", seed, max(1, strings.Count(out, "repeats this schedule")))
			}
			t.Logf("without the rule that %s: %q, caught %s, in %v", r.what, why, caught, time.Since(begun).Round(time.Second))
		})
	}
}

// run runs schedules without the rule until one fails, which is the error.
func (r *rule) run(t *testing.T, bound uint64) (string, error) {
	t.Helper()
	var cmd *exec.Cmd
	if r.in != "" {
		list, err := overlay(t.TempDir(), r.edits)
		if err != nil {
			t.Fatal(err)
		}
		cmd = exec.CommandContext(t.Context(), "go", "test", "-count=1", "-overlay", list, "-timeout", "5m", "-run", r.test, ".", "-deliver-schedules", fmt.Sprint(bound))
		cmd.Dir = filepath.Join("..", "..", filepath.FromSlash(r.in))
	} else {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		test := "^TestChaos$"
		if r.test != "" {
			test = r.test
		}
		cmd = exec.CommandContext(t.Context(), self, "-test.v", "-test.run", test, "-test.timeout", "2h")
	}
	cmd.Env = append(os.Environ(), "BINLOGSTREAMER_MUTANT="+r.name, fmt.Sprint("BINLOGSTREAMER_CHAOS=", bound), "BINLOGSTREAMER_MUTANTS=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// noise is what servers log of every request.
var noise = regexp.MustCompile(`(?m)^.*\| vgw \|.*\n`)

// withoutNoise is the end of an output.
func withoutNoise(out string) string {
	out = noise.ReplaceAllString(out, "")
	return out[max(0, len(out)-20_000):]
}
