package kinesisin

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// TestWireReadsRecordsOfAllShapes: a record is read alike whatever the one before it looks like.
func TestWireReadsRecordsOfAllShapes(t *testing.T) {
	shapes := []string{
		`{"Data":"YQ==","PartitionKey":"k","SequenceNumber":"1","ApproximateArrivalTimestamp":1760000000.123}`,
		`{"Data":"","PartitionKey":"key é","SequenceNumber":"22","ApproximateArrivalTimestamp":1760000000.123}`,
		`{"Data":"YWI=","PartitionKey":"k","SequenceNumber":"1","ApproximateArrivalTimestamp":1.76E9}`,
		`{"Data":"YWI=","PartitionKey":"k","SequenceNumber":"1","ApproximateArrivalTimestamp": 1760000000.1234}`,
		`{"ApproximateArrivalTimestamp":1760000000.123,"Data":"YWJj","PartitionKey":"k","SequenceNumber":"4"}`,
		` { "SequenceNumber" : "5" , "ApproximateArrivalTimestamp" : 1760000000.124 , "Data" : "YWJjZA==" } `,
		`{"Data":"YQ==","EncryptionType":null,"PartitionKey":"k","SequenceNumber":"6","ApproximateArrivalTimestamp":1}`,
		`{"Data":"YQ==","EncryptionType":"KMS","PartitionKey":"k","SequenceNumber":"6","ApproximateArrivalTimestamp":1}`,
	}
	for i, first := range shapes {
		for j, second := range shapes {
			body := `{"Records":[` + strings.Join([]string{first, second, second, first}, ",") + `]}`
			if same, direct := askBoth(t, 200, body); !same || !direct {
				t.Errorf("shape %d behind shape %d: same %v, read by the wire %v", j, i, same, direct)
			}
		}
		for _, odd := range []string{
			`{"Data":"YQ==","PartitionKey":"a\"b","SequenceNumber":"1","ApproximateArrivalTimestamp":1760000000.123}`,
			`{"Data":"YQ==","PartitionKey":"k","SequenceNumber":"1","SequenceNumber":"1","ApproximateArrivalTimestamp":1760000000.123}`,
			`{"Data":"YQ==","PartitionKey":"k","SequenceNumber":"1","ApproximateArrivalTimestamp":01}`,
			`{"Data":"YQ==","PartitionKey":"k","SequenceNumber":"1"}`,
			`{"Data":"YQ","PartitionKey":"k","SequenceNumber":"1","ApproximateArrivalTimestamp":1}`,
			`{"Data":"YQ==","PartitionKey":"k","SequenceNumber":"1","ApproximateArrivalTimestamp":1`,
			`{"Data":"YQ==","PartitionKey":"k","SequenceNumber":"1","ApproximateArrivalTimestamp":1,}`,
		} {
			if same, direct := askBoth(t, 200, `{"Records":[`+first+","+odd+`]}`); !same || direct {
				t.Errorf("%s behind shape %d: same %v, read by the wire %v", odd, i, same, direct)
			}
		}
	}
}

// TestDecodeIsTheStandardLibrarys holds base64 by the vector unit against encoding/base64, in good and in damaged texts of
// all lengths, also where the text is followed by something else.
func TestDecodeIsTheStandardLibrarys(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const odd = "\n\r=-_ \"\\\x00\x7f\x80\xff+/Az09"
	good := 0
	for n := range 20_000 {
		plain := make([]byte, n%300)
		for i := range plain {
			plain[i] = byte(r.Uint32())
		}
		text := []byte(base64.StdEncoding.EncodeToString(plain))
		for range r.IntN(3) * min(len(text), 1) {
			at := r.IntN(len(text))
			switch r.IntN(4) {
			case 0:
				text[at] = odd[r.IntN(len(odd))]
			case 1:
				text = append(text[:at], text[at+1:]...)
			case 2:
				text = append(text[:at:at], append([]byte{odd[r.IntN(len(odd))]}, text[at:]...)...)
			case 3:
				text = append(text[:at:at], append([]byte("\n\r\n\n"), text[at:]...)...)
			}
			if len(text) == 0 {
				break
			}
		}
		want := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		size, err := base64.StdEncoding.Decode(want, text)
		ok := err == nil && !bytes.ContainsAny(text, "\r\n")
		got := bytes.Repeat([]byte{0xaa}, len(want)+8)
		gotSize, gotOK := decode(got[:len(want)], text)
		if gotOK != ok || ok && (gotSize != size || !bytes.Equal(got[:size], want[:size])) || !bytes.Equal(got[len(want):], bytes.Repeat([]byte{0xaa}, 8)) {
			t.Fatalf("%q is read as %q, %v, want %q, %v", text, got[:gotSize], gotOK, want[:size], ok)
		}
		if ok {
			good++
		}
	}
	if good < 5_000 || good > 19_000 {
		t.Errorf("%d texts were good", good)
	}
}

// TestMemoryOfAnswers: what was read last does not show in the next answer, and a released batch does not reach into it.
func TestMemoryOfAnswers(t *testing.T) {
	m := new(memory)
	for _, n := range []int{5, 300, 3} {
		var out, fresh kinesis.GetRecordsOutput
		body := []byte(answerBody(n))
		if !readInto(body, &out, m) || !readAnswer(body, &fresh) {
			t.Fatal("not read")
		}
		for i := range out.Records {
			a, b := &out.Records[i], &fresh.Records[i]
			if !bytes.Equal(a.Data, b.Data) || aws.ToString(a.SequenceNumber) != aws.ToString(b.SequenceNumber) || cap(a.Data) != len(a.Data) {
				t.Fatal(fmt.Sprint("record ", i, " of ", n))
			}
		}
	}
}

// TestWireReadsRecordsOfAllSizes: the room that is made for an answer is a guess by its beginning, which may be wrong.
func TestWireReadsRecordsOfAllSizes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	sizes := []int{0, 0, 1, 2, 3, 100, 5_000, 50_000}
	for range 30 {
		var records []string
		for i := range 1 + r.IntN(12) {
			data := make([]byte, sizes[r.IntN(len(sizes))])
			for j := range data {
				data[j] = byte(r.Uint32())
			}
			records = append(records, fmt.Sprintf(`{"Data":%q,"PartitionKey":"k","SequenceNumber":"%d","ApproximateArrivalTimestamp":1}`,
				base64.StdEncoding.EncodeToString(data), i))
		}
		if same, direct := askBoth(t, 200, `{"Records":[`+strings.Join(records, ",")+`]}`); !same || !direct {
			t.Fatalf("same %v, read by the wire %v: %.2000q", same, direct, records)
		}
	}
}
