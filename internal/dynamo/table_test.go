package dynamo_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/binlogstreamer/binlogstreamer/internal/dynamo"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestEnsureMakesTheTableOnce(t *testing.T) {
	server := testservers.Dynalite(t)
	table := &dynamo.Table{API: server.DynamoDB(), Name: "tickets"}
	if there, err := table.Exists(t.Context()); there || err != nil {
		t.Fatalf("Exists before = %v, %v", there, err)
	}
	var group sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		group.Go(func() { errs[i] = table.Ensure(t.Context()) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if there, err := table.Exists(t.Context()); !there || err != nil {
		t.Errorf("Exists after = %v, %v", there, err)
	}
}

func TestTableOfAnotherLayoutIsRefused(t *testing.T) {
	server := testservers.Dynalite(t)
	api := server.DynamoDB()
	for name, in := range map[string]*dynamodb.CreateTableInput{
		"other-key": {
			KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		},
		"number": {
			KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String(dynamo.Key), KeyType: types.KeyTypeHash}},
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String(dynamo.Key), AttributeType: types.ScalarAttributeTypeN}},
		},
	} {
		in.TableName, in.BillingMode = aws.String(name), types.BillingModePayPerRequest
		if _, err := api.CreateTable(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		err := (&dynamo.Table{API: api, Name: name}).Ensure(t.Context())
		if err == nil || !strings.Contains(err.Error(), "key is another one") {
			t.Errorf("Ensure of %s = %v", name, err)
		}
	}
}

// refusing refuses calls with an error code.
type refusing struct {
	dynamo.API

	describe, create string
}

func refusal(code string) error { return &smithy.GenericAPIError{Code: code, Message: "not for you"} }

func (r refusing) DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error) {
	if r.describe != "" {
		return nil, refusal(r.describe)
	}
	return nil, &types.ResourceNotFoundException{}
}

func (r refusing) CreateTable(context.Context, *dynamodb.CreateTableInput, ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error) {
	return nil, refusal(r.create)
}

func TestRefusalsNameTheirCure(t *testing.T) {
	for _, c := range []struct {
		api  refusing
		want []string
	}{
		{refusing{describe: "AccessDeniedException"}, []string{"allow dynamodb:DescribeTable on arn:aws:dynamodb:eu-west-1:ACCOUNT:table/tickets"}},
		{refusing{create: "AccessDeniedException"}, []string{"allow dynamodb:CreateTable", "aws dynamodb create-table --table-name tickets"}},
		{refusing{describe: "UnrecognizedClientException"}, []string{"check the credentials"}},
	} {
		err := (&dynamo.Table{API: c.api, Name: "tickets", Region: "eu-west-1"}).Ensure(t.Context())
		if err == nil {
			t.Fatal("no error")
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v\ndoes not say %q", err, want)
			}
		}
	}
}
