/** The seven patterns, in the order in which they build on each other. */
import confirms from "./patterns/confirms.js";
import hello from "./patterns/hello.js";
import publishSubscribe from "./patterns/publish-subscribe.js";
import routing from "./patterns/routing.js";
import rpc from "./patterns/rpc.js";
import topics from "./patterns/topics.js";
import workQueues from "./patterns/work-queues.js";

/**
 * Each has: id, title, sentence, more; folder and files of its example, with marks of the lines for each step; commands of
 * its README; tries; start: the first sentence; begin(stage), which prepares the stage and returns further state;
 * picture(stage, play), Controls and handControls.
 */
export const PATTERNS = [hello, workQueues, publishSubscribe, routing, topics, rpc, confirms];
