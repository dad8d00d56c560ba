package checkpoint_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint/checkpointtest"
	"github.com/binlogstreamer/binlogstreamer/internal/dynamo"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// failover is long enough for a loaded machine and short enough for a test.
const failover = 1500 * time.Millisecond

// twoAPage asks for small pages, so that there is more than one.
type twoAPage struct{ *s3.Client }

func (c twoAPage) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input, opts ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
	in.MaxKeys = aws.Int32(2)
	return c.Client.ListObjectsV2(ctx, in, opts...)
}

type twoAScan struct{ *dynamodb.Client }

func (c twoAScan) Scan(ctx context.Context, in *dynamodb.ScanInput, opts ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	in.Limit = aws.Int32(2)
	return c.Client.Scan(ctx, in, opts...)
}

// storages are the services of remote stores. Each function makes an empty storage on one server.
func storages(t *testing.T) map[string]func(t *testing.T) (open func() checkpoint.Store) {
	dynalite, versity := testservers.Dynalite(t), testservers.VersityGW(t)
	versity.CreateBucket(t, "state")
	var number atomic.Int32 // subtests run at the same time
	return map[string]func(t *testing.T) func() checkpoint.Store{
		"memory": func(*testing.T) func() checkpoint.Store {
			service := new(checkpoint.MemoryService)
			return func() checkpoint.Store { return checkpoint.NewMemoryRemote(service, failover) }
		},
		"dynamodb": func(t *testing.T) func() checkpoint.Store {
			table := &dynamo.Table{API: twoAScan{dynalite.DynamoDB()}, Name: fmt.Sprint("state-", number.Add(1))}
			if err := table.Ensure(t.Context()); err != nil {
				t.Fatal(err)
			}
			return func() checkpoint.Store { return checkpoint.NewDynamoDB(table, failover) }
		},
		"s3": func(*testing.T) func() checkpoint.Store {
			c := checkpoint.S3Config{
				API: twoAPage{versity.S3()}, Bucket: "state", Prefix: fmt.Sprint("of/test-", number.Add(1)), Compatible: true, Failover: failover,
			}
			return func() checkpoint.Store { return checkpoint.NewS3(c) }
		},
	}
}

func TestRemoteStores(t *testing.T) {
	t.Parallel()
	for name, storage := range storages(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait for their servers, and for locks
			checkpointtest.Run(t, storage)
			for name, test := range map[string]func(*testing.T, func() checkpoint.Store){
				"LostAnswer": lostAnswer, "LostAnswers": lostAnswers, "CalledTwice": calledTwice, "LostRequest": lostRequest,
				"LateRequest": lateRequest, "Probe": probe,
			} {
				t.Run(name, func(t *testing.T) { test(t, storage(t)) })
			}
		})
	}
}

var errReset = errors.New("connection reset")

func mustStore(t *testing.T, s checkpoint.Store, doc string, rev checkpoint.Revision) checkpoint.Revision {
	t.Helper()
	next, err := s.Save(t.Context(), "task", []byte(doc), rev)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func mustHold(t *testing.T, s checkpoint.Store, doc string, rev checkpoint.Revision) {
	t.Helper()
	got, gotRev, err := s.Load(t.Context(), "task")
	if err != nil || string(got) != doc || gotRev != rev {
		t.Errorf("Load = %.40q, %q, %v; want %.40q, %q", got, gotRev, err, doc, rev)
	}
}

// lostAnswer: a Save that was stored, and whose answer was lost, is made again and finds its own success. Nobody else
// may do as if it were theirs.
func lostAnswer(t *testing.T, open func() checkpoint.Store) {
	s, rival := open(), open()
	for _, doc := range []string{"two", strings.Repeat("large", 100_000)} {
		_, start, err := s.Load(t.Context(), "task")
		if errors.Is(err, checkpoint.ErrNotFound) {
			start = checkpoint.None
		}
		lose := true
		checkpoint.Meddle(s, func(_ context.Context, do checkpoint.Replace) (string, error) {
			tag, err := do()
			if lose && err == nil {
				return "", errReset
			}
			return tag, err
		})
		if _, err := s.Save(t.Context(), "task", []byte(doc), start); !errors.Is(err, errReset) {
			t.Fatalf("Save = %v, want the lost answer", err)
		}
		if _, err := rival.Save(t.Context(), "task", []byte("rival"), start); !errors.Is(err, checkpoint.ErrConflict) {
			t.Errorf("Save of a rival = %v, want ErrConflict", err)
		}
		lose = false
		rev := mustStore(t, s, doc, start)
		mustHold(t, rival, doc, rev)
		if _, err := s.Save(t.Context(), "task", []byte("late"), start); !errors.Is(err, checkpoint.ErrConflict) {
			t.Errorf("Save with the settled revision = %v, want ErrConflict", err)
		}
	}
}

// lostAnswers: it may take several attempts, with other content each, until one is heard of.
func lostAnswers(t *testing.T, open func() checkpoint.Store) {
	s := open()
	start := mustStore(t, s, "one", checkpoint.None)
	lose := true
	checkpoint.Meddle(s, func(_ context.Context, do checkpoint.Replace) (string, error) {
		tag, err := do()
		if lose && err == nil {
			return "", errReset
		}
		return tag, err
	})
	for i := range 5 {
		if _, err := s.Save(t.Context(), "task", fmt.Append(nil, "attempt ", i), start); !errors.Is(err, errReset) {
			t.Fatalf("Save = %v, want the lost answer", err)
		}
	}
	lose = false
	rev := mustStore(t, s, "last", start)
	mustHold(t, open(), "last", rev)
}

// calledTwice: the SDK makes a call again whose answer it did not get, and gives the refusal of the second.
func calledTwice(t *testing.T, open func() checkpoint.Store) {
	s := open()
	checkpoint.Meddle(s, func(_ context.Context, do checkpoint.Replace) (string, error) {
		_, _ = do()
		return do()
	})
	rev := mustStore(t, s, "one", checkpoint.None)
	for _, doc := range []string{"two", strings.Repeat("large", 100_000), "small"} {
		rev = mustStoreAtLast(t, s, doc, rev)
		mustHold(t, open(), doc, rev)
	}
}

// mustStoreAtLast saves as callers do, again if there was no answer: a server that refuses a large request before it has
// read it may reset the connection under its refusal, on a busy machine in each of the SDK's attempts.
func mustStoreAtLast(t *testing.T, s checkpoint.Store, doc string, rev checkpoint.Revision) checkpoint.Revision {
	t.Helper()
	for attempt := 1; ; attempt++ {
		next, err := s.Save(t.Context(), "task", []byte(doc), rev)
		if err == nil {
			return next
		}
		if errors.Is(err, checkpoint.ErrConflict) || attempt == 5 {
			t.Fatal(err)
		}
	}
}

// lostRequest: an attempt that never arrived must not make a rival's save look like ours.
func lostRequest(t *testing.T, open func() checkpoint.Store) {
	s, rival := open(), open()
	start := mustStore(t, s, "one", checkpoint.None)
	lose := true
	checkpoint.Meddle(s, func(_ context.Context, do checkpoint.Replace) (string, error) {
		if lose {
			return "", errReset
		}
		return do()
	})
	if _, err := s.Save(t.Context(), "task", []byte("two"), start); !errors.Is(err, errReset) {
		t.Fatalf("Save = %v, want the lost request", err)
	}
	lose = false
	rev := mustStore(t, rival, "rival", start)
	if _, err := s.Save(t.Context(), "task", []byte("two"), start); !errors.Is(err, checkpoint.ErrConflict) {
		t.Errorf("Save after a rival's = %v, want ErrConflict", err)
	}
	mustHold(t, s, "rival", rev)
}

// lateRequest: a request that was given up arrives after the one that was made in its place.
func lateRequest(t *testing.T, open func() checkpoint.Store) {
	s := open()
	start := mustStore(t, s, "one", checkpoint.None)
	var late checkpoint.Replace
	checkpoint.Meddle(s, func(_ context.Context, do checkpoint.Replace) (string, error) {
		if late == nil {
			late = do
			return "", errReset
		}
		return do()
	})
	large := strings.Repeat("late", 100_000)
	if _, err := s.Save(t.Context(), "task", []byte(large), start); !errors.Is(err, errReset) {
		t.Fatalf("Save = %v, want the lost request", err)
	}
	rev := mustStore(t, s, strings.ToUpper(large), start)
	if _, err := late(); err == nil {
		t.Error("the late request replaced what was saved after it")
	}
	mustHold(t, open(), strings.ToUpper(large), rev)
}

type prober interface{ Probe(context.Context) error }

func probe(t *testing.T, open func() checkpoint.Store) {
	s := open()
	for range 2 {
		if err := s.(prober).Probe(t.Context()); err != nil {
			t.Error(err)
		}
	}
	twice := open()
	checkpoint.Meddle(twice, func(_ context.Context, do checkpoint.Replace) (string, error) {
		_, _ = do()
		return do()
	})
	if err := twice.(prober).Probe(t.Context()); err != nil {
		t.Errorf("Probe through a client that makes each call again = %v", err)
	}
	busy, calls := open(), 0
	checkpoint.Meddle(busy, func(_ context.Context, do checkpoint.Replace) (string, error) {
		if calls++; calls%2 == 1 {
			return "", checkpoint.ErrChanged // as while another request is under way
		}
		return do()
	})
	if err := busy.(prober).Probe(t.Context()); err != nil {
		t.Errorf("Probe of a service that is busy at first = %v", err)
	}
	if names, err := s.List(t.Context(), ""); err != nil || len(names) > 0 {
		t.Errorf("after a probe List = %q, %v", names, err)
	}
	kept := "" // a service that stores whatever it is given
	checkpoint.Meddle(s, func(_ context.Context, do checkpoint.Replace) (string, error) {
		if tag, err := do(); err == nil {
			kept = tag
		}
		return kept, nil
	})
	if err := s.(prober).Probe(t.Context()); !errors.Is(err, checkpoint.ErrIgnoresConditions) {
		t.Errorf("Probe of a service that ignores conditions = %v", err)
	}
}

// wantCorrupt says that what is stored cannot be read, cannot be replaced, and is not taken for absent.
func wantCorrupt(t *testing.T, what string, s checkpoint.Store, rev checkpoint.Revision) {
	t.Helper()
	_, _, err := s.Load(t.Context(), "task")
	corrupt, ok := errors.AsType[*checkpoint.CorruptError](err)
	if !ok || !errors.Is(err, checkpoint.ErrCorrupt) || corrupt.File == "" || corrupt.Cure == "" {
		t.Errorf("Load of a document that is %s = %v, want an ErrCorrupt that says where it is and a cure", what, err)
	}
	for _, rev := range []checkpoint.Revision{rev, checkpoint.None} {
		if _, err := s.Save(t.Context(), "task", []byte("new"), rev); !errors.Is(err, checkpoint.ErrCorrupt) {
			t.Errorf("Save over a document that is %s = %v, want ErrCorrupt", what, err)
		}
	}
}

func TestDamagedObject(t *testing.T) {
	t.Parallel()
	versity := testservers.VersityGW(t)
	versity.CreateBucket(t, "state")
	api := versity.S3()
	open := func() checkpoint.Store {
		return checkpoint.NewS3(checkpoint.S3Config{API: api, Bucket: "state", Compatible: true})
	}
	rev := mustStore(t, open(), `{"position": 1}`, checkpoint.None)
	good := getObject(t, api, "state", "task.checkpoint")
	for what, b := range map[string][]byte{
		"empty": {}, "cut": good[:len(good)-1], "longer": append(bytes.Clone(good), ' '), "changed": bytes.Replace(good, []byte(`: 1}`), []byte(`: 2}`), 1),
		"of a newer release": bytes.Replace(good, []byte(`"version":1`), []byte(`"version":2`), 1),
	} {
		if _, err := api.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("state"), Key: aws.String("task.checkpoint"), Body: bytes.NewReader(b)}); err != nil {
			t.Fatal(err)
		}
		wantCorrupt(t, what, open(), rev)
	}
}

func getObject(t *testing.T, api *s3.Client, bucket, key string) []byte {
	t.Helper()
	out, err := api.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(out.Body); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// dynamoItems are the items of a table by their keys.
func dynamoItems(t *testing.T, api *dynamodb.Client, table string) map[string]map[string]types.AttributeValue {
	t.Helper()
	out, err := api.Scan(t.Context(), &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	items := map[string]map[string]types.AttributeValue{}
	for _, item := range out.Items {
		items[item[dynamo.Key].(*types.AttributeValueMemberS).Value] = item
	}
	return items
}

func newTable(t *testing.T) (*dynamodb.Client, *dynamo.Table) {
	t.Helper()
	api := testservers.Dynalite(t).DynamoDB()
	table := &dynamo.Table{API: api, Name: "state"}
	if err := table.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return api, table
}

func smallItems(table *dynamo.Table, bytes int) *checkpoint.DynamoDB {
	s := checkpoint.NewDynamoDB(table, 0)
	checkpoint.SmallItems(s, bytes)
	return s
}

func TestDamagedItems(t *testing.T) {
	t.Parallel()
	api, table := newTable(t)
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	number := func(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }
	binary := func(s string) types.AttributeValue { return &types.AttributeValueMemberB{Value: []byte(s)} }
	rev := mustStore(t, smallItems(table, 200), strings.Repeat("1234567890", 20), checkpoint.None)
	good := dynamoItems(t, api, "state")
	if len(good) != 4 {
		t.Fatalf("%d items, want one and three parts", len(good))
	}
	put := func(item map[string]types.AttributeValue) {
		if _, err := api.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("state"), Item: item}); err != nil {
			t.Fatal(err)
		}
	}
	first := "document-part/" + string(rev) + "/0"
	for _, c := range []struct {
		what, item, attribute string
		value                 types.AttributeValue // nil: the attribute is missing; for attribute "", the item is
	}{
		{"without a part", first, "", nil},
		{"without a part's body", first, "body", nil},
		{"with a part cut", first, "body", binary("x")},
		{"without a revision", "document/task", "revision", nil},
		{"of another revision", "document/task", "revision", text("1-AAAAAAAAAAAA-1")},
		{"without a count of parts", "document/task", "parts", nil},
		{"with too few parts", "document/task", "parts", number("2")},
		{"with too many parts", "document/task", "parts", number("4")},
		{"with a negative count", "document/task", "parts", number("-1")},
		{"without body and parts", "document/task", "parts", number("0")},
	} {
		for _, item := range good {
			put(item)
		}
		bad := map[string]types.AttributeValue{}
		for k, v := range good[c.item] {
			if bad[k] = v; k == c.attribute {
				delete(bad, k)
			}
		}
		if c.value != nil {
			bad[c.attribute] = c.value
		}
		if put(bad); c.attribute == "" {
			key := map[string]types.AttributeValue{dynamo.Key: good[c.item][dynamo.Key]}
			if _, err := api.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String("state"), Key: key}); err != nil {
				t.Fatal(err)
			}
		}
		wantCorrupt(t, c.what, smallItems(table, 200), rev)
	}
}

// Parts do not pile up: those of former revisions, of refused saves, and those that a killed process left.
func TestPartsAreDeleted(t *testing.T) {
	t.Parallel()
	api, table := newTable(t)
	large := func(b byte) string { return string(bytes.Repeat([]byte{b}, 1000)) }
	dead := smallItems(table, 400)
	checkpoint.Meddle(dead, func(_ context.Context, do checkpoint.Replace) (string, error) {
		rival := smallItems(table, 400)
		mustStore(t, rival, "small", checkpoint.None)
		return do()
	})
	if _, err := dead.Save(t.Context(), "task", []byte(large('a')), checkpoint.None); !errors.Is(err, checkpoint.ErrConflict) {
		t.Fatalf("Save = %v, want ErrConflict", err)
	}
	if items := dynamoItems(t, api, "state"); len(items) != 1 {
		t.Errorf("after a refused save: %d items, want 1", len(items))
	}
	left := map[string]types.AttributeValue{ // what a process killed before its item was stored leaves behind
		dynamo.Key: &types.AttributeValueMemberS{Value: "document-part/1-DEADDEADDEAD-1/0"},
		"revision": &types.AttributeValueMemberS{Value: "1-DEADDEADDEAD-1"}, "document": &types.AttributeValueMemberS{Value: "document/task"},
		"body": &types.AttributeValueMemberB{Value: []byte("x")},
	}
	if _, err := api.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("state"), Item: left}); err != nil {
		t.Fatal(err)
	}
	s := smallItems(table, 400)
	_, rev, err := s.Load(t.Context(), "task")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []byte("xyz") {
		rev = mustStore(t, s, large(b), rev)
		mustHold(t, smallItems(table, 400), large(b), rev)
	}
	if items := dynamoItems(t, api, "state"); len(items) != 5 || items["document-part/1-DEADDEADDEAD-1/0"] != nil {
		t.Errorf("%d items, want one and four parts: %v", len(items), items)
	}
	mustStore(t, s, "small", rev)
	if items := dynamoItems(t, api, "state"); len(items) != 1 {
		t.Errorf("after a small document: %d items, want 1", len(items))
	}
}

// A reader meets a large document while it is replaced again and again.
func TestReadingWhileALargeDocumentIsReplaced(t *testing.T) {
	t.Parallel()
	_, table := newTable(t)
	s := smallItems(table, 200)
	rev := mustStore(t, s, strings.Repeat("a", 1000), checkpoint.None)
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		reader := smallItems(table, 200)
		for {
			select {
			case <-stop:
				return
			default:
			}
			doc, _, err := reader.Load(t.Context(), "task")
			if err != nil || len(doc) != 1000 || strings.Trim(string(doc), string(doc[:1])) != "" {
				t.Errorf("Load = %.40q…, %v", doc, err)
				return
			}
		}
	})
	for i := range 12 {
		rev = mustStore(t, s, strings.Repeat(string(rune('a'+i%26)), 1000), rev)
	}
	close(stop)
	group.Wait()
}
