// Package dynamo is the DynamoDB table in which state is kept: one table for everything, with the layout that the
// Kinesis Client Library gives its lease table, so that leases and documents lie side by side in it. It promises that
// Ensure ends with a table of that layout that can be used, or with an error that says what is missing; and that every
// refusal of DynamoDB names the permission or the command that cures it. What the items mean is their owners' business.
package dynamo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
)

// The attributes that every item has.
const (
	Key        = "leaseKey"   // S, the partition key; there is no sort key
	EntityType = "entityType" // S: what kind of item it is, as the KCL has it since version 3.5
)

// API is what is called of DynamoDB; the SDK's client satisfies it.
type API interface {
	CreateTable(context.Context, *dynamodb.CreateTableInput, ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error)
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

// Table is a table by its name. Its methods may be called from any goroutine.
type Table struct {
	API    API
	Name   string
	Region string // for messages; may be empty
}

// Exists says whether the table is there and can be used. It changes nothing. A table of another layout is an error.
func (t *Table) Exists(ctx context.Context) (bool, error) {
	status, err := t.look(ctx)
	return status == types.TableStatusActive || status == types.TableStatusUpdating, err
}

// Ensure makes the table if it is missing, billed on demand, and returns when it can be used. Several processes may
// call it at the same time.
func (t *Table) Ensure(ctx context.Context) error {
	status, err := t.look(ctx)
	if err != nil {
		return err
	}
	if status == "" {
		if err := t.create(ctx); err != nil {
			return err
		}
	}
	for status != types.TableStatusActive && status != types.TableStatusUpdating {
		if err := backoff.Sleep(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("wait for DynamoDB table %s, which is %s: %w", t.Name, status, err)
		}
		if status, err = t.look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// look gives the table's state: "" if there is no table.
func (t *Table) look(ctx context.Context) (types.TableStatus, error) {
	out, err := t.API.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &t.Name})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return "", nil
	}
	if err != nil {
		return "", t.Fault("DescribeTable", err)
	}
	if !t.fits(out.Table) {
		return "", &Error{Action: "DescribeTable", Table: t.Name,
			Err:  errors.New("the table is there, and its key is another one than the string " + Key + " alone"),
			Hint: "name a table of its own, which is made then"}
	}
	return out.Table.TableStatus, nil
}

func (t *Table) fits(d *types.TableDescription) bool {
	if len(d.KeySchema) != 1 || aws.ToString(d.KeySchema[0].AttributeName) != Key {
		return false
	}
	for _, a := range d.AttributeDefinitions {
		if aws.ToString(a.AttributeName) == Key {
			return a.AttributeType == types.ScalarAttributeTypeS
		}
	}
	return false
}

func (t *Table) create(ctx context.Context) error {
	_, err := t.API.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName:            &t.Name,
		BillingMode:          types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String(Key), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String(Key), AttributeType: types.ScalarAttributeTypeS}},
	})
	if _, made := errors.AsType[*types.ResourceInUseException](err); made {
		return nil // by another process, or by a call of ours whose answer was lost
	}
	if err != nil {
		return t.Fault("CreateTable", err)
	}
	return nil
}
