// Every test in one process: loading the library takes longer than all of them.
import './alarms.test';
import './data.test';
import './settings.test';
import './tasks.test';
