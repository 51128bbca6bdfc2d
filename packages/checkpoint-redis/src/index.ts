export type { CheckpointDescription } from './description.ts';
export { type ExpireOptions, type ExpireResult, expireThreads } from './expiry.ts';
export {
  FenceError,
  type Lease,
  type RaisedFence,
  type RedisClient,
  raiseFence,
  readFence,
  type ThreadRef,
} from './fence.ts';
export { type LeaseView, RedisSaver, type RedisSaverOptions } from './saver.ts';
export { LaterFormatError, StorageRefusal } from './scripts.ts';
