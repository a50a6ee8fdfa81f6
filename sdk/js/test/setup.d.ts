declare let count: number;
