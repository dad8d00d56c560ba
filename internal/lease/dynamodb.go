package lease

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/dynamo"
)

// The attributes of a lease's item, as the KCL names them. docs/FORMATS.md describes them.
const (
	attrOwner           = "leaseOwner"                   // S; missing: nobody
	attrCounter         = "leaseCounter"                 // N
	attrCheckpoint      = "checkpoint"                   // S
	attrSubSequence     = "checkpointSubSequenceNumber"  // N; always 0: an object never ends inside a record
	attrSwitches        = "ownerSwitchesSinceCheckpoint" // N
	attrParents         = "parentShardIds"               // SS; missing: none
	attrChildren        = "childShardIds"                // SS; missing: none known
	attrStartHash       = "startingHashKey"              // S
	attrEndHash         = "endingHashKey"                // S
	attrCheckpointOwner = "checkpointOwner"              // S; missing: no hand-over
	attrStream          = "streamName"                   // S: ACCOUNT:STREAM:CREATED, as the KCL has it for several streams
	attrShard           = "shardId"                      // S
)

// StreamID is what the KCL calls a stream that may not be the only one of a table. created tells streams of one name apart.
func StreamID(account, name string, created time.Time) string {
	return account + ":" + name + ":" + strconv.FormatInt(created.Unix(), 10)
}

// DynamoDB is a Table in a DynamoDB table, which other items may share.
type DynamoDB struct {
	table  *dynamo.Table
	stream string
}

var _ Table = (*DynamoDB)(nil)

// NewDynamoDB gives the leases of a stream, by its StreamID.
func NewDynamoDB(table *dynamo.Table, stream string) *DynamoDB { return &DynamoDB{table, stream} }

func (d *DynamoDB) key(shard string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{dynamo.Key: text(d.stream + ":" + shard)}
}

// Scan implements Table.
func (d *DynamoDB) Scan(ctx context.Context) ([]Lease, error) {
	in := &dynamodb.ScanInput{
		TableName: &d.table.Name, ConsistentRead: aws.Bool(true),
		FilterExpression:          aws.String("begins_with(" + dynamo.Key + ", :stream)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":stream": text(d.stream + ":")},
	}
	var leases []Lease
	for {
		page, err := d.table.API.Scan(ctx, in)
		if err != nil {
			return nil, d.table.Fault("Scan", err)
		}
		if leases, err = d.appendLeases(leases, page.Items); err != nil {
			return nil, err
		}
		if len(page.LastEvaluatedKey) == 0 {
			return leases, nil
		}
		in.ExclusiveStartKey = page.LastEvaluatedKey
	}
}

const (
	batchKeys  = 100 // that one BatchGetItem may ask for
	batchPause = 50 * time.Millisecond
)

// Read implements Table.
func (d *DynamoDB) Read(ctx context.Context, shards []string) ([]Lease, error) {
	var leases []Lease
	for len(shards) > 0 {
		n := min(len(shards), batchKeys)
		keys := make([]map[string]types.AttributeValue, n)
		for i, s := range shards[:n] {
			keys[i] = d.key(s)
		}
		shards = shards[n:]
		for len(keys) > 0 {
			out, err := d.table.API.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
				RequestItems: map[string]types.KeysAndAttributes{d.table.Name: {Keys: keys, ConsistentRead: aws.Bool(true)}},
			})
			if err != nil {
				return nil, d.table.Fault("BatchGetItem", err)
			}
			if leases, err = d.appendLeases(leases, out.Responses[d.table.Name]); err != nil {
				return nil, err
			}
			keys = out.UnprocessedKeys[d.table.Name].Keys // DynamoDB may answer a part
			if len(keys) == 0 {
				break
			}
			if err := backoff.Sleep(ctx, batchPause); err != nil {
				return nil, err
			}
		}
	}
	return leases, nil
}

// Create implements Table.
func (d *DynamoDB) Create(ctx context.Context, l Lease) error {
	item := d.key(l.Shard)
	item[dynamo.EntityType] = text("LEASE")
	item[attrStream], item[attrShard] = text(d.stream), text(l.Shard)
	item[attrCounter], item[attrSwitches], item[attrSubSequence] = number(l.Counter), number(l.Switches), number(0)
	item[attrCheckpoint] = text(l.Checkpoint)
	for name, value := range map[string]string{
		attrOwner: l.Owner, attrCheckpointOwner: l.CheckpointOwner, attrStartHash: l.StartHash, attrEndHash: l.EndHash,
	} {
		if value != "" {
			item[name] = text(value)
		}
	}
	for name, values := range map[string][]string{attrParents: l.Parents, attrChildren: l.Children} {
		if len(values) > 0 {
			item[name] = &types.AttributeValueMemberSS{Value: values}
		}
	}
	_, err := d.table.API.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &d.table.Name, Item: item, ConditionExpression: aws.String("attribute_not_exists(" + dynamo.Key + ")"),
	})
	return d.fault("PutItem", err)
}

// Replace implements Table. Attributes that it does not know stay.
func (d *DynamoDB) Replace(ctx context.Context, old, now Lease) error {
	u := newUpdate(old)
	u.set(attrCounter, number(now.Counter))
	u.set(attrCheckpoint, text(now.Checkpoint))
	u.set(attrSubSequence, number(0))
	u.set(attrSwitches, number(now.Switches))
	u.setText(attrOwner, now.Owner)
	u.setText(attrCheckpointOwner, now.CheckpointOwner)
	if len(now.Children) > 0 {
		u.set(attrChildren, &types.AttributeValueMemberSS{Value: now.Children})
	}
	expression := "SET " + strings.Join(u.sets, ", ")
	if len(u.removes) > 0 {
		expression += " REMOVE " + strings.Join(u.removes, ", ")
	}
	_, err := d.table.API.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &d.table.Name, Key: d.key(now.Shard), UpdateExpression: &expression,
		ConditionExpression: aws.String(strings.Join(u.conditions, " AND ")), ExpressionAttributeValues: u.values,
	})
	return d.fault("UpdateItem", err)
}

// Delete implements Table.
func (d *DynamoDB) Delete(ctx context.Context, old Lease) error {
	u := newUpdate(old)
	_, err := d.table.API.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &d.table.Name, Key: d.key(old.Shard),
		ConditionExpression: aws.String(strings.Join(u.conditions, " AND ")), ExpressionAttributeValues: u.values,
	})
	return d.fault("DeleteItem", err)
}

func (d *DynamoDB) fault(action string, err error) error {
	if _, changed := errors.AsType[*types.ConditionalCheckFailedException](err); changed {
		return ErrChanged
	}
	if err != nil {
		return d.table.Fault(action, err)
	}
	return nil
}

// update collects the parts of a conditional change.
type update struct {
	sets, removes, conditions []string
	values                    map[string]types.AttributeValue
}

// newUpdate is one on the condition that the stored lease is old.
func newUpdate(old Lease) *update {
	u := &update{values: map[string]types.AttributeValue{":oldCounter": number(old.Counter)}}
	u.conditions = append(u.conditions, attrCounter+" = :oldCounter")
	u.expect(attrOwner, ":oldOwner", old.Owner)
	u.expect(attrCheckpointOwner, ":oldCheckpointOwner", old.CheckpointOwner)
	return u
}

func (u *update) expect(name, placeholder, value string) {
	if value == "" {
		u.conditions = append(u.conditions, "attribute_not_exists("+name+")")
		return
	}
	u.conditions = append(u.conditions, name+" = "+placeholder)
	u.values[placeholder] = text(value)
}

func (u *update) set(name string, value types.AttributeValue) {
	u.sets = append(u.sets, name+" = :"+name)
	u.values[":"+name] = value
}

func (u *update) setText(name, value string) {
	if value == "" {
		u.removes = append(u.removes, name)
		return
	}
	u.set(name, text(value))
}

func (d *DynamoDB) appendLeases(leases []Lease, items []map[string]types.AttributeValue) ([]Lease, error) {
	for _, item := range items {
		l, err := d.parse(item)
		if err != nil {
			return nil, err
		}
		leases = append(leases, l)
	}
	return leases, nil
}

func (d *DynamoDB) parse(item map[string]types.AttributeValue) (Lease, error) {
	key := getText(item, dynamo.Key)
	l := Lease{
		Shard: strings.TrimPrefix(key, d.stream+":"),
		Owner: getText(item, attrOwner), CheckpointOwner: getText(item, attrCheckpointOwner), Checkpoint: getText(item, attrCheckpoint),
		StartHash: getText(item, attrStartHash), EndHash: getText(item, attrEndHash),
		Parents: getTexts(item, attrParents), Children: getTexts(item, attrChildren),
	}
	var err error
	if l.Counter, err = getNumber(item, attrCounter); err == nil {
		l.Switches, err = getNumber(item, attrSwitches)
	}
	if err != nil {
		return l, fmt.Errorf("lease %s in DynamoDB table %s: %w; delete the item, it is made again", key, d.table.Name, err)
	}
	return l, nil
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func getText(item map[string]types.AttributeValue, name string) string {
	if v, ok := item[name].(*types.AttributeValueMemberS); ok {
		return v.Value
	}
	return ""
}

func getTexts(item map[string]types.AttributeValue, name string) []string {
	if v, ok := item[name].(*types.AttributeValueMemberSS); ok {
		return v.Value
	}
	return nil
}

func getNumber(item map[string]types.AttributeValue, name string) (int64, error) {
	v, ok := item[name].(*types.AttributeValueMemberN)
	if !ok {
		return 0, fmt.Errorf("attribute %s is not a number", name)
	}
	return strconv.ParseInt(v.Value, 10, 64)
}
