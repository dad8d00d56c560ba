package lease_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/binlogstreamer/binlogstreamer/internal/dynamo"
	"github.com/binlogstreamer/binlogstreamer/internal/lease"
	"github.com/binlogstreamer/binlogstreamer/internal/lease/leasetest"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

const stream = "123456789012:tickets:1700000000"

// TestTables holds both tables against what a Table promises.
func TestTables(t *testing.T) {
	t.Run("memory", func(t *testing.T) { tableSuite(t, leasetest.NewService().Table()) })
	t.Run("dynamodb", func(t *testing.T) { tableSuite(t, lease.NewDynamoDB(table(t), stream)) })
}

func table(t *testing.T) *dynamo.Table {
	t.Helper()
	table := &dynamo.Table{API: testservers.Dynalite(t).DynamoDB(), Name: "state"}
	if err := table.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return table
}

func tableSuite(t *testing.T, table lease.Table) {
	ctx := t.Context()
	stored := func(shard string) lease.Lease {
		t.Helper()
		leases, err := table.Read(ctx, []string{"none", shard})
		if err != nil || len(leases) != 1 {
			t.Fatalf("Read of %s = %v, %v", shard, leases, err)
		}
		return leases[0]
	}
	first := lease.Lease{Shard: "s-1", Checkpoint: lease.TrimHorizon, Parents: []string{"s-0"}, StartHash: "0", EndHash: "340282366920938463463374607431768211455"}
	if err := table.Create(ctx, first); err != nil {
		t.Fatal(err)
	}
	if err := table.Create(ctx, first); !errors.Is(err, lease.ErrChanged) {
		t.Errorf("the second Create = %v", err)
	}
	if got := stored("s-1"); !reflect.DeepEqual(got, first) {
		t.Errorf("stored is %+v, want %+v", got, first)
	}
	taken := first
	taken.Owner, taken.Counter, taken.Switches = "a", 1, 1
	asked := taken
	asked.Owner, asked.CheckpointOwner, asked.Counter = "b", "a", 2
	ended := asked
	ended.Owner, ended.CheckpointOwner, ended.Counter, ended.Checkpoint, ended.Children = "", "", 3, lease.ShardEnd, []string{"s-2", "s-3"}
	for i, step := range []struct{ old, now lease.Lease }{{first, taken}, {taken, asked}, {asked, ended}} {
		if err := table.Replace(ctx, step.old, step.now); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if err := table.Replace(ctx, step.old, step.now); !errors.Is(err, lease.ErrChanged) {
			t.Errorf("step %d a second time: %v", i, err)
		}
		if got := stored("s-1"); !reflect.DeepEqual(got, step.now) {
			t.Errorf("step %d: stored is %+v, want %+v", i, got, step.now)
		}
	}
	for name, other := range map[string]func(*lease.Lease){
		"counter":          func(l *lease.Lease) { l.Counter++ },
		"owner":            func(l *lease.Lease) { l.Owner = "z" },
		"checkpoint owner": func(l *lease.Lease) { l.CheckpointOwner = "z" },
	} {
		old := ended
		other(&old)
		if err := errors.Join(table.Replace(ctx, old, taken), table.Delete(ctx, old)); !errors.Is(err, lease.ErrChanged) || strings.Count(err.Error(), "\n") != 1 {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if err := table.Replace(ctx, lease.Lease{Shard: "s-9"}, lease.Lease{Shard: "s-9", Counter: 1}); !errors.Is(err, lease.ErrChanged) {
		t.Errorf("Replace of a lease that is not there = %v", err)
	}
	if err := table.Delete(ctx, ended); err != nil {
		t.Fatal(err)
	}
	if all, err := table.Scan(ctx); err != nil || len(all) != 0 {
		t.Errorf("after Delete there are %v, %v", all, err)
	}
}

// A Scan has pages of 1 MB of everything that is in the table, and a BatchGetItem takes 100 keys.
func TestAllPagesAreRead(t *testing.T) {
	table := table(t)
	mine := lease.NewDynamoDB(table, stream)
	another := lease.NewDynamoDB(table, stream+"0")
	var shards []string
	for i := range 120 {
		shards = append(shards, fmt.Sprintf("s-%03d", i))
		if err := mine.Create(t.Context(), lease.Lease{Shard: shards[i], Checkpoint: lease.TrimHorizon}); err != nil {
			t.Fatal(err)
		}
		if i%20 == 0 {
			_, err := table.API.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table.Name, Item: map[string]types.AttributeValue{
				dynamo.Key: &types.AttributeValueMemberS{Value: fmt.Sprintf("document/%d", i)}, "body": &types.AttributeValueMemberB{Value: make([]byte, 350_000)},
			}})
			if err := errors.Join(err, another.Create(t.Context(), lease.Lease{Shard: shards[i], Checkpoint: lease.TrimHorizon})); err != nil {
				t.Fatal(err)
			}
		}
	}
	page, err := table.API.Scan(t.Context(), &dynamodb.ScanInput{TableName: &table.Name})
	if err != nil || len(page.LastEvaluatedKey) == 0 {
		t.Fatalf("one page has everything: the test tests nothing (%v)", err)
	}
	if leases, err := mine.Scan(t.Context()); err != nil || len(leases) != 120 {
		t.Errorf("Scan gives %d leases, %v", len(leases), err)
	}
	if leases, err := mine.Read(t.Context(), shards); err != nil || len(leases) != 120 {
		t.Errorf("Read gives %d leases, %v", len(leases), err)
	}
}

// TestItemLayout holds the items against the form that docs/FORMATS.md describes and other tools know.
func TestItemLayout(t *testing.T) {
	table := table(t)
	leases := lease.NewDynamoDB(table, lease.StreamID("123456789012", "tickets", time.Unix(1_700_000_000, 0)))
	l := lease.Lease{Shard: "shardId-000000000002", Checkpoint: lease.TrimHorizon, Parents: []string{"shardId-000000000000", "shardId-000000000001"},
		StartHash: "0", EndHash: "340282366920938463463374607431768211455"}
	var got bytes.Buffer
	show := func(title string) {
		out, err := table.API.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &table.Name, ConsistentRead: aws.Bool(true),
			Key: map[string]types.AttributeValue{dynamo.Key: &types.AttributeValueMemberS{Value: stream + ":shardId-000000000002"}}})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "%s\n", title)
		for _, name := range slices.Sorted(maps.Keys(out.Item)) {
			switch v := out.Item[name].(type) {
			case *types.AttributeValueMemberS:
				fmt.Fprintf(&got, "  %s S %s\n", name, v.Value)
			case *types.AttributeValueMemberN:
				fmt.Fprintf(&got, "  %s N %s\n", name, v.Value)
			case *types.AttributeValueMemberSS:
				fmt.Fprintf(&got, "  %s SS %v\n", name, v.Value)
			default:
				t.Fatalf("%s is a %T", name, v)
			}
		}
	}
	step := func(title string, change func(*lease.Lease)) {
		next := l
		next.Counter++
		change(&next)
		if err := leases.Replace(t.Context(), l, next); err != nil {
			t.Fatal(err)
		}
		l = next
		show(title)
	}
	if err := leases.Create(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	show("made")
	step("held", func(l *lease.Lease) {
		l.Owner, l.Switches, l.Checkpoint = "host-a:17:K3LMQ5RSTU2V", 1, "49590338271490256608559692538361571095921575989136588898"
	})
	step("handed over", func(l *lease.Lease) { l.Owner, l.CheckpointOwner = "host-b:4:ABCDEFGHIJKL", l.Owner })
	step("at the end", func(l *lease.Lease) {
		l.Owner, l.CheckpointOwner, l.Checkpoint, l.Children = "", "", lease.ShardEnd, []string{"shardId-000000000003"}
	})
	want, err := os.ReadFile("testdata/items.golden.txt")
	if err != nil || !bytes.Equal(want, got.Bytes()) {
		t.Errorf("%v; the items are\n%s", err, got.Bytes())
	}
}

func TestItemThatIsNoLease(t *testing.T) {
	table := table(t)
	_, err := table.API.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table.Name, Item: map[string]types.AttributeValue{
		dynamo.Key: &types.AttributeValueMemberS{Value: stream + ":s-1"}, "leaseCounter": &types.AttributeValueMemberS{Value: "seven"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = lease.NewDynamoDB(table, stream).Read(t.Context(), []string{"s-1"})
	if err == nil || !strings.Contains(err.Error(), "leaseCounter") || !strings.Contains(err.Error(), "delete the item") {
		t.Errorf("Read = %v", err)
	}
}
