import { checkReadRequest, planReading } from '../read-object.js';
import type { Handler } from '../types.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html */
export const getObject: Handler = async (context) => {
  checkReadRequest(context);
  const object = await context.storage.open(context.place, context.key);
  try {
    const { status, headers, range } = planReading(context, object.info);
    if (object.bytes) {
      const { start, length } = range;
      return { status, headers, body: { bytes: object.bytes.subarray(start, start + length) } };
    }
    return {
      status,
      headers,
      body: {
        length: range.length,
        send: async (sink) => {
          if (range.length > 0) await object.read(range.start, range.length, sink);
        },
        close: () => object.close(),
      },
    };
  } catch (error) {
    await object.close();
    throw error;
  }
};
