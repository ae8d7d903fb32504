module flowtrail.test/flogo-app

go 1.25

require (
	github.com/project-flogo/contrib/activity/actreturn v0.10.0
	github.com/project-flogo/contrib/activity/log v0.10.0
	github.com/project-flogo/contrib/trigger/rest v0.10.0
	github.com/project-flogo/core v1.6.20
	github.com/project-flogo/flow v1.6.26
)

require (
	github.com/araddon/dateparse v0.0.0-20190622164848-0fb0a474d195 // indirect
	github.com/julienschmidt/httprouter v1.3.0 // indirect
	github.com/mohae/deepcopy v0.0.0-20170929034955-c48cc78d4826 // indirect
	github.com/sony/gobreaker/v2 v2.4.0 // indirect
	go.uber.org/atomic v1.6.0 // indirect
	go.uber.org/multierr v1.5.0 // indirect
	go.uber.org/zap v1.16.0 // indirect
)
