// The Go client franz-go as a contender: see bench/contender.py for what a contender does.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What librdkafka holds of the other contenders; franz-go's own default of 10 000 records is less than a request.
const window = 500_000

type task struct {
	BootstrapServers string  `json:"bootstrap_servers"`
	Topic            string  `json:"topic"`
	Partitions       int     `json:"partitions"`
	Values           string  `json:"values"`
	Records          int     `json:"records"`
	Keys             int     `json:"keys"`
	FirstTimestamp   int64   `json:"first_timestamp"`
	Warmup           int     `json:"warmup"`
	Call             int     `json:"call"`
	Mode             string  `json:"mode"`
	Acks             string  `json:"acks"`
	InFlight         *int    `json:"in_flight"`
	Idempotence      bool    `json:"idempotence"`
	LingerMs         float64 `json:"linger_ms"`
	BatchBytes       int32   `json:"batch_bytes"`
	Compression      string  `json:"compression"`
	CA               string  `json:"ca"`
	Properties       string  `json:"properties"`
}

type result struct {
	Records   int64              `json:"records"`
	Failed    int64              `json:"failed"`
	Wall      float64            `json:"wall"`
	CPU       float64            `json:"cpu"`
	Latencies map[string]float64 `json:"latencies"`
	Versions  map[string]string  `json:"versions"`
	Settings  map[string]string  `json:"settings"`
}

type sender struct {
	task    task
	client  *kgo.Client
	values  [][]byte
	keys    [][]byte
	written atomic.Int64
}

func main() {
	if err := run(os.Args[len(os.Args)-1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(argument string) error {
	var t task
	if err := json.Unmarshal([]byte(argument), &t); err != nil {
		return err
	}
	if t.Properties != "" {
		return errors.New("takes no further settings by librdkafka's names")
	}
	options, shown, err := settings(t)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(t.Values)
	if err != nil {
		return err
	}
	s := &sender{task: t, values: bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))}
	for i := range t.Keys {
		s.keys = append(s.keys, fmt.Appendf(nil, "key-%04d", i))
	}
	if s.client, err = kgo.NewClient(options...); err != nil {
		return err
	}
	defer s.client.Close()
	done, err := s.measure()
	if err != nil {
		return err
	}
	done.Settings = shown
	done.Versions = map[string]string{"franz-go": version(), "go": runtime.Version()}
	return json.NewEncoder(os.Stdout).Encode(done)
}

func settings(t task) ([]kgo.Opt, map[string]string, error) {
	acks := map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks()}
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	codec, known := codecs[t.Compression]
	if !known {
		return nil, nil, fmt.Errorf("unknown compression %q", t.Compression)
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(t.BootstrapServers, ",")...),
		kgo.RequiredAcks(acks[t.Acks]),
		kgo.ProducerLinger(time.Duration(t.LingerMs * float64(time.Millisecond))),
		kgo.ProducerBatchMaxBytes(t.BatchBytes),
		kgo.ProducerBatchCompression(codec),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MaxBufferedRecords(window),
	}
	shown := map[string]string{
		"RequiredAcks": t.Acks, "ProducerLinger": fmt.Sprint(t.LingerMs, "ms"),
		"ProducerBatchMaxBytes": fmt.Sprint(t.BatchBytes), "MaxBufferedRecords": fmt.Sprint(window),
	}
	if t.CA != "" {
		authority, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, nil, err
		}
		trusted := x509.NewCertPool()
		if !trusted.AppendCertsFromPEM(authority) {
			return nil, nil, fmt.Errorf("no certificate in %s", t.CA)
		}
		options = append(options, kgo.DialTLSConfig(&tls.Config{RootCAs: trusted}))
		shown["DialTLSConfig"] = "true"
	}
	if !t.Idempotence {
		options = append(options, kgo.DisableIdempotentWrite())
		shown["DisableIdempotentWrite"] = "true"
		if t.InFlight != nil {
			options = append(options, kgo.MaxProduceRequestsInflightPerBroker(*t.InFlight))
			shown["MaxProduceRequestsInflightPerBroker"] = fmt.Sprint(*t.InFlight)
		}
	}
	return options, shown, nil
}

func (s *sender) send(first, stop int) {
	for i := first; i < stop; i++ {
		record := &kgo.Record{
			Topic:     s.task.Topic,
			Partition: int32(i % s.task.Partitions),
			Timestamp: time.UnixMilli(s.task.FirstTimestamp + int64(i)),
			Value:     s.values[i%len(s.values)],
		}
		if len(s.keys) > 0 {
			record.Key = s.keys[i%len(s.keys)]
		}
		s.client.Produce(context.Background(), record, func(_ *kgo.Record, err error) {
			if err == nil {
				s.written.Add(1)
			}
		})
	}
}

func (s *sender) settle() error {
	return s.client.Flush(context.Background())
}

func (s *sender) measure() (*result, error) {
	warmup, stop := s.task.Warmup, s.task.Warmup+s.task.Records
	s.send(0, warmup)
	if err := s.settle(); err != nil {
		return nil, err
	}
	before := s.written.Load()
	var latencies []float64
	wall, cpu := time.Now(), cpuSeconds()
	if s.task.Mode == "wait" {
		for i := warmup; i < stop; i += s.task.Call {
			started := time.Now()
			s.send(i, min(stop, i+s.task.Call))
			if err := s.settle(); err != nil {
				return nil, err
			}
			latencies = append(latencies, time.Since(started).Seconds())
		}
	} else {
		s.send(warmup, stop)
		if err := s.settle(); err != nil {
			return nil, err
		}
	}
	done := &result{CPU: cpuSeconds() - cpu, Wall: time.Since(wall).Seconds(), Latencies: quantiles(latencies)}
	done.Records = s.written.Load() - before
	done.Failed = int64(s.task.Records) - done.Records
	return done, nil
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return math.NaN()
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func quantiles(latencies []float64) map[string]float64 {
	found := map[string]float64{}
	if len(latencies) == 0 {
		return found
	}
	slices.Sort(latencies)
	sum := 0.0
	for _, one := range latencies {
		sum += one
	}
	found["mean"] = sum / float64(len(latencies))
	for name, cut := range map[string]float64{"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1} {
		found[name] = latencies[int(math.Round(float64(len(latencies)-1)*cut))]
	}
	return found
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/twmb/franz-go" {
				return module.Version
			}
		}
	}
	return "unknown"
}
