import { parentPort, workerData } from 'node:worker_threads';

import { Session } from 'flyte-auth';

const { endpoint, machine } = workerData;
parentPort.postMessage((await Session.forEndpoint(endpoint, machine).token()).headerName);
