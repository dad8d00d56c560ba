package main

import (
	"fmt"
	"math"
)

// List prices in us-east-1, in dollars; docs/PERFORMANCE.md says where they are from.
const (
	monthHours      = 730
	fargateVCPUHour = 0.04048
	fargateGBHour   = 0.004445
	dmsHour         = 0.0745 // of the smallest class that is not for trying out, dms.t3.medium, in one zone
	firehoseGB      = 0.029  // of the first 500 TB in a month
	firehoseStep    = 5 << 10
	shardHour       = 0.015
	putUnits        = 0.014 / 1e6 // of up to 25 KB
)

// A shard takes so many records a second, and so many bytes.
const (
	shardRecords = 1000
	shardBytes   = 1 << 20
)

// ordinary is the workload that prices are compared for, and the record that it makes.
const ordinary = "small rows, large transactions"

// prices compares what is paid for so many changes a second, in a month.
func (r *report) prices() []grid {
	g := grid{name: "prices", title: "Dollars a month in us-east-1, without what is the same with both",
		header: []string{"changes a second", "record bytes", "replicate: vCPU", "deliver: vCPU", "Fargate", "Firehose: GB billed", "Firehose", "DMS, at least", "the same with both: shards", "Kinesis"}}
	for _, w := range r.Workloads {
		if w.Name != ordinary {
			continue
		}
		for _, rate := range []float64{200, 2_000, 20_000} {
			replicate, deliver := taskFor(rate, w.Replicate), taskFor(rate, w.Deliver)
			billed := firehoseBilled(rate, w.Record)
			shards := shardsFor(rate, w.Record)
			g.add(grouped(int64(rate)), grouped(w.Record), replicate.String(), deliver.String(), dollars(replicate.monthly()+deliver.monthly()),
				number(billed), dollars(billed*firehoseGB), dollars(monthHours*dmsHour), fmt.Sprint(shards), dollars(kinesisMonthly(rate, shards)))
		}
	}
	return []grid{g}
}

func dollars(f float64) string { return "$" + number(f) }

// monthly is what a task with its least memory costs.
func (t task) monthly() float64 {
	return monthHours * (t.vcpu*fargateVCPUHour + t.least*fargateGBHour)
}

func (t task) String() string { return fmt.Sprintf("%g", t.vcpu) }

// taskFor is the smallest task that carries the rate, by the cautious reading of a vCPU; the largest if none does.
func taskFor(rate float64, half measurement) task {
	for _, t := range tasks {
		if carries(t.vcpu, halfThread, half) >= rate {
			return t
		}
	}
	return tasks[len(tasks)-1]
}

// firehoseBilled is the data of a month in GB as Firehose counts it: each record in steps of 5 KB.
func firehoseBilled(rate float64, record int64) float64 {
	steps := math.Ceil(float64(record) / firehoseStep)
	return rate * steps * firehoseStep * monthHours * 3600 / (1 << 30)
}

// shardsFor is how many shards take the rate.
func shardsFor(rate float64, record int64) int {
	return int(max(math.Ceil(rate/shardRecords), math.Ceil(rate*float64(record)/shardBytes)))
}

// kinesisMonthly is what a provisioned stream costs, with records of less than 25 KB.
func kinesisMonthly(rate float64, shards int) float64 {
	return monthHours * (float64(shards)*shardHour + rate*3600*putUnits)
}
