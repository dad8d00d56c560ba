package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/binlogstreamer/binlogstreamer/internal/dynamo"
)

// The attributes of the items, besides those that all items of the table have. docs/FORMATS.md describes them.
const (
	attrRevision = "revision" // S
	attrBody     = "body"     // B: the stored bytes, or a part of them
	attrParts    = "parts"    // N: how many items hold the bytes; 0: this one
	attrDocument = "document" // S, of a part: the document's key
)

// entityPart is the kind of an item that holds a part of a document.
const entityPart = "BINLOGSTREAMER_PART"

var entities = map[kind]string{
	isDocument: "BINLOGSTREAMER_DOCUMENT", isLock: "BINLOGSTREAMER_LOCK", isProbe: "BINLOGSTREAMER_PROBE",
}

const (
	itemBytes   = 350_000 // of a body; an item may have 400 KB, with its attributes' names
	keyBytes    = 2048    // of a partition key, by DynamoDB's limit
	partWriters = 8       // requests at a time for one document's parts
)

// DynamoDB is a Store in a DynamoDB table, which may hold leases beside.
type DynamoDB struct{ remote }

var _ Store = (*DynamoDB)(nil)

// NewDynamoDB makes the store; nothing is sent. failover is after how long a lock's holder counts as gone that gives
// no sign of life; 0 means 10 s.
func NewDynamoDB(table *dynamo.Table, failover time.Duration) *DynamoDB {
	return &DynamoDB{newRemote(&dynamoBackend{table: table, swept: make(map[string]bool)}, failover)}
}

// dynamoBackend keeps each document in an item, and the bytes of one that is too large for that in items of their own:
// they are there before the item that counts them, and are deleted when it is replaced. A tag is the revision and the
// number of parts.
type dynamoBackend struct {
	table    *dynamo.Table
	maxBytes int // of a body; 0: itemBytes

	mu    sync.Mutex // covers swept
	swept map[string]bool
}

func itemKey(p place) string { return string(p.kind) + "/" + p.name }

func partKey(rev Revision, number int) string { return fmt.Sprintf("document-part/%s/%d", rev, number) }

func keyOf(key string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{dynamo.Key: &types.AttributeValueMemberS{Value: key}}
}

func (b *dynamoBackend) where(p place) string {
	return fmt.Sprintf("item %q of DynamoDB table %s", itemKey(p), b.table.Name)
}

func (b *dynamoBackend) fits(name string) error {
	if longest := keyBytes - len(isDocument) - len("/"); len(name) > longest {
		return fmt.Errorf("%w %.40q…: it is longer than %d bytes", ErrName, name, longest)
	}
	return nil
}

// read implements backend. Parts can go away under a reader when the document is replaced; then it begins anew.
func (b *dynamoBackend) read(ctx context.Context, p place) ([]byte, string, error) {
	var last string
	for {
		item, err := b.get(ctx, itemKey(p))
		if err != nil {
			return nil, "", err
		}
		if item == nil {
			return nil, "", ErrNotFound
		}
		rev, parts, err := itemHead(item)
		if err != nil {
			return nil, "", err
		}
		tag := dynamoTag(rev, parts)
		body, err := b.body(ctx, item, rev, parts)
		if _, damaged := errors.AsType[damage](err); damaged && tag != last {
			last = tag
			continue
		}
		return body, tag, err
	}
}

func itemHead(item map[string]types.AttributeValue) (rev Revision, parts int, err error) {
	r, isText := item[attrRevision].(*types.AttributeValueMemberS)
	n, isNumber := item[attrParts].(*types.AttributeValueMemberN)
	if !isText || !isNumber || r.Value == "" {
		return "", 0, damage("the item has no revision, or does not say how many parts it has")
	}
	parts, err = strconv.Atoi(n.Value)
	if err != nil || parts < 0 {
		return "", 0, damage(fmt.Sprintf("the item says that it has %q parts", n.Value))
	}
	return Revision(r.Value), parts, nil
}

// body gives the stored bytes of a document whose item was read.
func (b *dynamoBackend) body(ctx context.Context, item map[string]types.AttributeValue, rev Revision, parts int) ([]byte, error) {
	if parts == 0 {
		body, ok := item[attrBody].(*types.AttributeValueMemberB)
		if !ok {
			return nil, damage("the item has no body")
		}
		return body.Value, nil
	}
	bodies := make([][]byte, parts)
	err := eachPart(ctx, parts, func(ctx context.Context, i int) error {
		item, err := b.get(ctx, partKey(rev, i))
		if err != nil {
			return err
		}
		body, ok := item[attrBody].(*types.AttributeValueMemberB)
		if !ok {
			return damage(fmt.Sprintf("part %d of %d is missing", i+1, parts))
		}
		bodies[i] = body.Value
		return nil
	})
	var whole []byte
	for _, body := range bodies {
		whole = append(whole, body...)
	}
	return whole, err
}

func (b *dynamoBackend) get(ctx context.Context, key string) (map[string]types.AttributeValue, error) {
	out, err := b.table.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &b.table.Name, Key: keyOf(key), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, b.table.Fault("GetItem", err)
	}
	return out.Item, nil
}

func eachPart(ctx context.Context, parts int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(partWriters)
	for i := range parts {
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

func dynamoTag(rev Revision, parts int) string { return fmt.Sprintf("%s/%d", rev, parts) }

func splitTag(tag string) (rev Revision, parts int) {
	r, n, _ := strings.Cut(tag, "/")
	parts, _ = strconv.Atoi(n) // dynamoTag wrote it
	return Revision(r), parts
}

// replace implements backend.
func (b *dynamoBackend) replace(ctx context.Context, p place, body []byte, rev Revision, tag string) (string, error) {
	bodies := b.split(body)
	item := keyOf(itemKey(p))
	item[dynamo.EntityType] = &types.AttributeValueMemberS{Value: entities[p.kind]}
	item[attrRevision] = &types.AttributeValueMemberS{Value: string(rev)}
	if len(bodies) == 0 {
		item[attrBody] = &types.AttributeValueMemberB{Value: body}
	}
	item[attrParts] = &types.AttributeValueMemberN{Value: strconv.Itoa(len(bodies))}
	if err := b.putParts(ctx, p, bodies, rev); err != nil {
		return "", err
	}
	in := &dynamodb.PutItemInput{TableName: &b.table.Name, Item: item}
	old, oldParts := splitTag(tag)
	if tag == "" {
		in.ConditionExpression = aws.String("attribute_not_exists(" + dynamo.Key + ")")
	} else {
		in.ConditionExpression = aws.String(attrRevision + " = :old")
		in.ExpressionAttributeValues = map[string]types.AttributeValue{":old": &types.AttributeValueMemberS{Value: string(old)}}
	}
	_, err := b.table.API.PutItem(ctx, in)
	if _, changed := errors.AsType[*types.ConditionalCheckFailedException](err); changed {
		return "", b.refused(ctx, p, rev, len(bodies))
	}
	if err != nil {
		return "", b.table.Fault("PutItem", err)
	}
	b.dropParts(ctx, old, oldParts)
	if len(bodies) > 0 {
		b.sweepOnce(ctx, p, rev)
	}
	return dynamoTag(rev, len(bodies)), nil
}

// split cuts a body that is too large for one item.
func (b *dynamoBackend) split(body []byte) (bodies [][]byte) {
	size := b.maxBytes
	if size == 0 {
		size = itemBytes
	}
	if len(body) <= size {
		return nil
	}
	for len(body) > 0 {
		n := min(size, len(body))
		bodies, body = append(bodies, body[:n]), body[n:]
	}
	return bodies
}

func (b *dynamoBackend) putParts(ctx context.Context, p place, bodies [][]byte, rev Revision) error {
	return eachPart(ctx, len(bodies), func(ctx context.Context, i int) error {
		item := keyOf(partKey(rev, i))
		item[dynamo.EntityType] = &types.AttributeValueMemberS{Value: entityPart}
		item[attrRevision] = &types.AttributeValueMemberS{Value: string(rev)}
		item[attrDocument] = &types.AttributeValueMemberS{Value: itemKey(p)}
		item[attrBody] = &types.AttributeValueMemberB{Value: bodies[i]}
		if _, err := b.table.API.PutItem(ctx, &dynamodb.PutItemInput{TableName: &b.table.Name, Item: item}); err != nil {
			return b.table.Fault("PutItem", err)
		}
		return nil
	})
}

// refused is called when the condition did not hold. Unless the SDK made the call twice and the item is ours, the parts
// are nobody's: the condition can hold never again, since no revision comes back.
func (b *dynamoBackend) refused(ctx context.Context, p place, rev Revision, parts int) error {
	if parts > 0 {
		item, err := b.get(ctx, itemKey(p))
		if err != nil {
			return err
		}
		if stored, _, err := itemHead(item); err != nil || stored != rev {
			b.dropParts(ctx, rev, parts)
		}
	}
	return errChanged
}

// dropParts deletes parts that nothing refers to. What it does not reach is left to a later sweep.
func (b *dynamoBackend) dropParts(ctx context.Context, rev Revision, parts int) {
	_ = eachPart(ctx, parts, func(ctx context.Context, i int) error { return b.delete(ctx, partKey(rev, i)) })
}

func (b *dynamoBackend) delete(ctx context.Context, key string) error {
	_, err := b.table.API.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &b.table.Name, Key: keyOf(key)})
	if err != nil {
		return b.table.Fault("DeleteItem", err)
	}
	return nil
}

// sweepOnce deletes the parts of a document that processes left behind which were killed between storing parts and the
// item, or between the item and deleting the former parts. Revisions count up, so parts that are not newer than what is
// stored now will never be referred to.
func (b *dynamoBackend) sweepOnce(ctx context.Context, p place, rev Revision) {
	b.mu.Lock()
	done := b.swept[p.name]
	b.swept[p.name] = true
	b.mu.Unlock()
	if done {
		return
	}
	_ = b.scan(ctx, &dynamodb.ScanInput{
		FilterExpression: aws.String(attrDocument + " = :document"), ProjectionExpression: aws.String(dynamo.Key + ", " + attrRevision),
		ExpressionAttributeValues: map[string]types.AttributeValue{":document": &types.AttributeValueMemberS{Value: itemKey(p)}},
	}, func(item map[string]types.AttributeValue) error {
		key, _ := item[dynamo.Key].(*types.AttributeValueMemberS)
		of, _ := item[attrRevision].(*types.AttributeValueMemberS)
		if key == nil || of == nil || Revision(of.Value) == rev || revisionCount(Revision(of.Value)) > revisionCount(rev) {
			return nil
		}
		return b.delete(ctx, key.Value)
	})
}

// list implements backend. The table has one key only, so all of it is gone through.
func (b *dynamoBackend) list(ctx context.Context) ([]string, error) {
	prefix := itemKey(place{kind: isDocument})
	var names []string
	err := b.scan(ctx, &dynamodb.ScanInput{
		FilterExpression: aws.String("begins_with(" + dynamo.Key + ", :prefix)"), ProjectionExpression: aws.String(dynamo.Key),
		ExpressionAttributeValues: map[string]types.AttributeValue{":prefix": &types.AttributeValueMemberS{Value: prefix}},
	}, func(item map[string]types.AttributeValue) error {
		if key, ok := item[dynamo.Key].(*types.AttributeValueMemberS); ok {
			names = append(names, strings.TrimPrefix(key.Value, prefix))
		}
		return nil
	})
	return names, err
}

func (b *dynamoBackend) scan(ctx context.Context, in *dynamodb.ScanInput, each func(map[string]types.AttributeValue) error) error {
	in.TableName, in.ConsistentRead = &b.table.Name, aws.Bool(true)
	for {
		page, err := b.table.API.Scan(ctx, in)
		if err != nil {
			return b.table.Fault("Scan", err)
		}
		for _, item := range page.Items {
			if err := each(item); err != nil {
				return err
			}
		}
		if len(page.LastEvaluatedKey) == 0 {
			return nil
		}
		in.ExclusiveStartKey = page.LastEvaluatedKey
	}
}

func (b *dynamoBackend) remove(ctx context.Context, p place) error { return b.delete(ctx, itemKey(p)) }
