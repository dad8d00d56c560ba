package kinesisin

import "github.com/aws/aws-sdk-go-v2/service/kinesis"

// useWire makes a call go through a wire with memory of its own.
func useWire(o *kinesis.Options) { new(memory).use(o) }

// readAnswer is readInto with memory of its own.
func readAnswer(body []byte, out *kinesis.GetRecordsOutput) bool {
	return readInto(body, out, new(memory))
}
