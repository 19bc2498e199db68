/**
 * File access waits in libuv's threads, four of them unless told otherwise: with several items each syncing a journal, the
 * fifth read would wait for four fsyncs. A main imports this file for its effect; it counts because libuv makes its
 * threads at the first use, which comes after every import. Whoever starts the process may set another number.
 */
process.env.UV_THREADPOOL_SIZE ??= '16';
