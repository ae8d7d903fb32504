module example.com/publisher

go 1.25.0

require (
	github.com/twmb/franz-go v1.21.5
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/klauspost/compress v1.18.6 // indirect
	github.com/pierrec/lz4/v4 v4.1.26 // indirect
	github.com/twmb/franz-go/pkg/kmsg v1.13.1 // indirect
)
