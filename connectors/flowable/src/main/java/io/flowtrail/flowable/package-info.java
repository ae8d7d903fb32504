/**
 * The history of Flowable's process engine, told to flowtrail.
 *
 * <p>The way of what happens: the engine calls its history manager, which {@link io.flowtrail.flowable.FlowtrailConfigurator} has
 * wrapped ({@link io.flowtrail.flowable.ListeningHistoryManager}) → {@link io.flowtrail.flowable.Recorder} makes events of the
 * runtime entities → {@link io.flowtrail.flowable.Gathering} keeps those of one command together → an
 * {@link io.flowtrail.flowable.Outlet} brings them to Kafka: {@link io.flowtrail.flowable.AfterCommit} when the transaction has been
 * committed, {@link io.flowtrail.flowable.Outbox} by way of a row of the same transaction.
 */
package io.flowtrail.flowable;
