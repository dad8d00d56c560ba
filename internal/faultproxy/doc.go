// Package faultproxy stands between a client and a service of AWS, or what stands in for one, and does to their requests
// what networks and services do: it refuses, delays, loses, cuts off, answers in part, and carries out late. It also
// splits and merges shards. It exists for tests.
//
// It promises that every fault is one that the real service may show: what is answered as stored is stored, a refused
// entry of PutRecords is not, and 412 is said of an object that exists. Which request meets which fault is drawn from a
// seeded generator in the order in which requests come, so a seed repeats a schedule as closely as processes and networks
// allow. It counts what it did, and after LetThrough it does nothing any more.
//
// A test makes a Proxy for each service, points the program at Proxy.Endpoint, and looks behind the proxy, at the server
// itself, when it verifies:
//
//	p := faultproxy.New(t, faultproxy.Config{
//		Service: faultproxy.Kinesis, Target: server.Endpoint, Seed: seed,
//		Faults: faultproxy.Faults{"PutRecords": {faultproxy.Partial: 0.2, faultproxy.LoseAnswer: 0.05}},
//	})
//	... run the program against p.Endpoint()
//	p.LetThrough()
//	t.Log(p.Counts())
package faultproxy
