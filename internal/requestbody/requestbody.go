// Package requestbody keeps the AWS SDK from cutting connections whose answers are still being read.
//
// The SDK closes a request's body as soon as the head of the answer is there. net/http may look at the body once more at
// that time, for a byte beyond its length. A closed body of the SDK (smithy-go 1.28) then says io.EOF from WriteTo,
// where io.WriterTo wants no error, and net/http takes that for a failed request and closes the connection under the
// reader of the answer: "use of closed network connection", seen on a busy machine in 1 of some 50 long answers.
//
// It promises that requests of a client made with Plain end without that, and that nothing else about them changes. What
// looks at a body before it is sent, above all the signature's hash, still gets it through WriteTo, without a copy.
package requestbody

import (
	"context"
	"io"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// id is the middleware's name in the SDK's stack.
const id = "PlainRequestBody"

// Options are the API options of a client that has no others.
func Options() []func(*middleware.Stack) error { return []func(*middleware.Stack) error{Plain} }

// Plain is an API option for SDK clients (aws.Config.APIOptions, or Options.APIOptions of a service): their request
// bodies can be read and sought, and no more. It may be given more than once.
func Plain(stack *middleware.Stack) error {
	if _, there := stack.Deserialize.Get(id); there {
		return nil
	}
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc(id, hideWriteTo), middleware.After)
}

// hideWriteTo stands last in the stack, next to the transport.
func hideWriteTo(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	request, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return next.HandleDeserialize(ctx, in)
	}
	// Every body that is sent again after a fault can be sought; one that cannot be has no WriteTo to hide.
	if body, ok := request.GetStream().(io.ReadSeeker); ok {
		plain, err := request.SetStream(struct{ io.ReadSeeker }{body})
		if err != nil {
			return middleware.DeserializeOutput{}, middleware.Metadata{}, err
		}
		in.Request = plain
	}
	return next.HandleDeserialize(ctx, in)
}
