package checkpoint_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// What differs from run to run, and what the golden files have in its place.
var changing = []struct {
	is  *regexp.Regexp
	now string
}{
	{regexp.MustCompile(`-[A-Z0-9]{12}-`), "-STORE-"},
	{regexp.MustCompile(`"[0-9a-f]{64}"`), `"SHA256"`},
	{regexp.MustCompile(`"20\d\d-[^"]*Z"`), `"TIME"`},
	{regexp.MustCompile(`"host":"[^"]*"`), `"host":"HOST"`},
	{regexp.MustCompile(`"pid":\d+`), `"pid":1`},
	{regexp.MustCompile(`"bytes":\d+`), `"bytes":1`},
}

func fixed(s string) string {
	for _, c := range changing {
		s = c.is.ReplaceAllString(s, c.now)
	}
	return s
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	want, err := os.ReadFile("testdata/" + file)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		want, err = []byte(got), os.WriteFile("testdata/"+file, []byte(got), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// The items in DynamoDB are a promise to later releases, and to whoever looks at the table.
func TestFormOfItems(t *testing.T) {
	t.Parallel()
	api, table := newTable(t)
	s := smallItems(table, 400)
	save := func(name, doc string) {
		if _, err := s.Save(t.Context(), name, []byte(doc), checkpoint.None); err != nil {
			t.Fatal(err)
		}
	}
	save("replicate", `{"version":1}`)
	save("deliver/tickets/large", strings.Repeat("0123456789", 40))
	held, err := s.Lock(t.Context(), "replicate")
	if err != nil {
		t.Fatal(err)
	}
	items := dynamoItems(t, api, "state")
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, key := range slices.Sorted(maps.Keys(items)) {
		fmt.Fprintln(&out, fixed(key))
		for _, attribute := range slices.Sorted(maps.Keys(items[key])) {
			switch v := items[key][attribute].(type) {
			case *types.AttributeValueMemberS:
				fmt.Fprintf(&out, "  %s S %s\n", attribute, fixed(v.Value))
			case *types.AttributeValueMemberN:
				fmt.Fprintf(&out, "  %s N %s\n", attribute, v.Value)
			case *types.AttributeValueMemberB:
				body := fixed(string(v.Value))
				if len(v.Value) > 200 && attribute == "body" && strings.HasPrefix(key, "document-part/") {
					body = "…" // it is cut wherever the length of the host's name wants it
				}
				fmt.Fprintf(&out, "  %s B %s\n", attribute, strings.ReplaceAll(body, "\n", "\n      "))
			}
		}
	}
	golden(t, "dynamodb.golden", out.String())
}

func TestFormOfALock(t *testing.T) {
	t.Parallel()
	versity := testservers.VersityGW(t)
	versity.CreateBucket(t, "state")
	s := checkpoint.NewS3(checkpoint.S3Config{API: versity.S3(), Bucket: "state", Prefix: "of/tickets", Compatible: true})
	held, err := s.Lock(t.Context(), "replicate")
	if err != nil {
		t.Fatal(err)
	}
	content := func() string {
		_, doc, _ := strings.Cut(string(getObject(t, versity.S3(), "state", "of/tickets/replicate.lock")), "\n")
		return fixed(doc) + "\n"
	}
	got := content()
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
	golden(t, "lock.golden.json", got+content())
}
